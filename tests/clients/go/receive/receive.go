package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	key, _         = base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("FLAGTRAIL_SECRET"), "whsec_"))
	mutex          sync.Mutex
	ids, positions = map[string]bool{}, map[string]bool{} // keep them where they outlive a restart
)

func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	id, timestamp := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	fits := false
	for _, given := range strings.Fields(r.Header.Get("webhook-signature")) {
		fits = fits || hmac.Equal([]byte(given), []byte(expected))
	}
	at, _ := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || !fits || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		http.Error(w, "not from Flagtrail, or too old", http.StatusUnauthorized)
		return
	}
	mutex.Lock()
	defer mutex.Unlock()
	if ids[id] {
		return // a repeat, dropped
	}
	if previous := r.Header.Get("x-flagtrail-previous"); previous != "" && !positions[previous] {
		fmt.Println("a gap:", previous, "never came") // on ordered endpoints
	}
	fmt.Println(string(body)) // the work; only then is it seen
	ids[id], positions[r.Header.Get("x-flagtrail-position")] = true, true
}

// A server around it.
func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8000", http.HandlerFunc(receive)))
}
