// A witness (C2SP tlog-witness) made of the libraries that others are made of: it cosigns whatever extends what it saw.

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	tlogformat "github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// seen is what the witness cosigned last of a log.
type seen struct {
	size uint64
	root []byte
}

type witness struct {
	logs   map[string]note.Verifier
	signer note.Signer
	mutex  sync.Mutex
	seen   map[string]seen
}

// serveWitness prints its verifier key and its address, and serves the logs with these keys until its input ends.
func serveWitness(name string, logKeys []string) error {
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return err
	}
	signer, err := cosignature.NewSignerForCosignatureV1(secret)
	if err != nil {
		return err
	}
	vkey, err := cosignature.VKeyToCosignatureV1(public)
	if err != nil {
		return err
	}
	logs := map[string]note.Verifier{}
	for _, key := range logKeys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return err
		}
		logs[verifier.Name()] = verifier
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("%s\nhttp://%s\n", vkey, listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	w := &witness{logs: logs, signer: signer, seen: map[string]seen{}}
	http.HandleFunc("POST /add-checkpoint", w.add)
	return http.Serve(listener, nil)
}

func (w *witness) add(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	head, checkpoint, found := bytes.Cut(body, []byte("\n\n"))
	lines := bufio.NewScanner(bytes.NewReader(head))
	if !found || !lines.Scan() || !strings.HasPrefix(lines.Text(), "old ") {
		http.Error(response, "no old size", http.StatusBadRequest)
		return
	}
	old, err := strconv.ParseUint(strings.TrimPrefix(lines.Text(), "old "), 10, 64)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	var proof [][]byte
	for lines.Scan() {
		hash, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		proof = append(proof, hash)
	}
	origin, _, _ := strings.Cut(string(checkpoint), "\n")
	verifier, known := w.logs[origin]
	if !known {
		http.Error(response, "unknown log", http.StatusNotFound)
		return
	}
	parsed, _, opened, err := tlogformat.ParseCheckpoint(checkpoint, origin, verifier)
	if err != nil {
		http.Error(response, err.Error(), http.StatusForbidden)
		return
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	last := w.seen[origin]
	switch {
	case old > parsed.Size:
		http.Error(response, "old size beyond the checkpoint", http.StatusBadRequest)
		return
	case old != last.size:
		response.Header().Set("Content-Type", "text/x.tlog.size")
		response.WriteHeader(http.StatusConflict)
		fmt.Fprintf(response, "%d\n", last.size)
		return
	}
	if last.size > 0 {
		err = merkleproof.VerifyConsistency(rfc6962.DefaultHasher, old, parsed.Size, proof, last.root, parsed.Hash)
		if err != nil {
			http.Error(response, err.Error(), http.StatusUnprocessableEntity)
			return
		}
	}
	signed, err := note.Sign(&note.Note{Text: opened.Text}, w.signer)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	w.seen[origin] = seen{size: parsed.Size, root: parsed.Hash}
	_, signatures, _ := strings.Cut(string(signed), "\n\n")
	fmt.Fprint(response, signatures)
}
