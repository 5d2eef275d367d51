package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

type Record struct {
	ID     string          `json:"id"`
	Action string          `json:"action"`
	Log    string          `json:"log"`
	Flag   json.RawMessage `json:"flag"`
}

func main() {
	brokers := os.Getenv("KAFKA")
	if brokers == "" {
		brokers = "localhost:9092"
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumerGroup("flag-cache-go"),
		kgo.ConsumeTopics("flagtrail.records"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			log.Fatal(err)
		}
		fetches.EachRecord(func(message *kgo.Record) {
			var record Record
			if err := json.Unmarshal(message.Value, &record); err != nil {
				log.Fatal(err)
			}
			if strings.HasPrefix(record.Action, "flag.") {
				fmt.Println(record.Action, string(record.Flag), record.Log)
			}
		})
		// Only when the work is done: after a crash the records come again, with the same IDs.
		if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
}
