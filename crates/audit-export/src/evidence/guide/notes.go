// Opens signed notes: notes KEYS NOTE...
package main

import (
	"fmt"
	"log"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	keys, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var known []note.Verifier
	for _, vkey := range strings.Fields(string(keys)) {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			log.Fatal(err)
		}
		known = append(known, verifier)
	}
	for _, path := range os.Args[2:] {
		signed, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		opened, err := note.Open(signed, note.VerifierList(known...))
		if err != nil {
			log.Fatalf("%s: %v", path, err)
		}
		fmt.Printf("%s\nsigned by %s\n\n", strings.TrimSpace(opened.Text), opened.Sigs[0].Name)
	}
}
