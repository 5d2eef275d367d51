// Checks a log with the libraries that others check logs with, and nothing of Flagtrail's.
//
//	tlog log DIRECTORY     a log as C2SP tlog-tiles lays it out, with keys and proofs beside it
//	tlog sign NAME TEXT    prints a verifier key and a note that it has signed
//	tlog witness NAME KEY… serves a witness that knows the logs with these verifier keys, once it has printed its own and its address,
//	                       until its input ends
//
// The directory of a log holds:
//
//	log.vkey, cosigner.vkey   the keys
//	checkpoint                the signed checkpoint
//	tile/…, tile/entries/…    tiles and entry bundles
//	*.tlog-proof              proofs whose extra data is the entry
//	*.consistency             the size and root of an earlier tree, then a proof that it is this one's beginning
package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	tlogformat "github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func main() {
	log.SetFlags(0)
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "log":
		err = checkLog(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "sign":
		err = sign(os.Args[2], os.Args[3])
	case len(os.Args) > 3 && os.Args[1] == "witness":
		err = serveWitness(os.Args[2], os.Args[3:])
	default:
		err = errors.New("usage: tlog log DIRECTORY | tlog sign NAME TEXT | tlog witness NAME KEY…")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func sign(name, text string) error {
	secret, public, err := note.GenerateKey(nil, name)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s", public, signed)
	return nil
}

// tiles reads the tiles of a directory.
type tiles string

func (dir tiles) Height() int { return tileHeight }

func (dir tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		// C2SP leaves the height out of the path.
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "tile/", 1)
		bytes, err := os.ReadFile(filepath.Join(string(dir), path))
		if err != nil {
			return nil, err
		}
		found = append(found, bytes)
	}
	return found, nil
}

func (dir tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func checkLog(dir string) error {
	checkpoint, err := checkCheckpoint(dir)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	tree := tlog.Tree{N: int64(checkpoint.Size), Hash: tlog.Hash(checkpoint.Hash)}
	// This reader checks every tile that it reads against the tree.
	reader := tlog.TileHashReader(tree, tiles(dir))
	entries, err := checkEntries(dir, tree, reader)
	if err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	proofs, err := checkProofs(dir, checkpoint, tree)
	if err != nil {
		return fmt.Errorf("proofs: %w", err)
	}
	consistent, err := checkConsistency(dir, checkpoint, tree)
	if err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	fmt.Printf("%d entries, %d proofs, %d earlier trees\n", entries, proofs, consistent)
	return nil
}

func verifier(dir, file string, parse func(string) (note.Verifier, error)) (note.Verifier, error) {
	vkey, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	return parse(strings.TrimSpace(string(vkey)))
}

func checkCheckpoint(dir string) (*tlogformat.Checkpoint, error) {
	logKey, err := verifier(dir, "log.vkey", note.NewVerifier)
	if err != nil {
		return nil, err
	}
	clock, err := verifier(dir, "cosigner.vkey", cosignature.NewVerifierForCosignatureV1)
	if err != nil {
		return nil, err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return nil, err
	}
	checkpoint, _, opened, err := tlogformat.ParseCheckpoint(signed, logKey.Name(), logKey, clock)
	if err != nil {
		return nil, err
	}
	for _, signature := range opened.Sigs {
		if signature.Name == clock.Name() {
			at, err := cosignature.CoSigV1Timestamp(signature)
			if err != nil {
				return nil, err
			}
			fmt.Printf("cosigned at %d\n", at.Unix())
			return checkpoint, nil
		}
	}
	return nil, errors.New("the cosigner has not signed it")
}

// checkEntries hashes every entry and has the tree bear it out.
func checkEntries(dir string, tree tlog.Tree, reader tlog.HashReader) (int64, error) {
	var index int64
	for bundle := int64(0); index < tree.N; bundle++ {
		tile := tlog.Tile{H: tileHeight, L: -1, N: bundle, W: int(min(1<<tileHeight, tree.N-index))}
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/data/", tileHeight), "tile/entries/", 1)
		bytes, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return 0, err
		}
		for ; len(bytes) > 0; index++ {
			length := 2 + int(binary.BigEndian.Uint16(bytes))
			hash := tlog.RecordHash(bytes[2:length])
			bytes = bytes[length:]
			stored, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			if err != nil {
				return 0, err
			}
			if stored[0] != hash {
				return 0, fmt.Errorf("entry %d has the hash %v, its tile says %v", index, hash, stored[0])
			}
		}
	}
	return index, nil
}

func checkProofs(dir string, checkpoint *tlogformat.Checkpoint, tree tlog.Tree) (int, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.tlog-proof"))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		var proof tlogproof.TLogProof
		if err := proof.Unmarshal(text); err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(proof.ExtraData)
		var path [][]byte
		var record tlog.RecordProof
		for _, hash := range proof.Hashes {
			path = append(path, hash[:])
			record = append(record, tlog.Hash(hash))
		}
		err = merkleproof.VerifyInclusion(rfc6962.DefaultHasher, proof.Index, checkpoint.Size, leaf, path, checkpoint.Hash)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		err = tlog.CheckRecord(record, tree.N, tree.Hash, int64(proof.Index), tlog.Hash(leaf))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
	}
	return len(files), nil
}

func checkConsistency(dir string, checkpoint *tlogformat.Checkpoint, tree tlog.Tree) (int, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.consistency"))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		var size uint64
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if _, err := fmt.Sscanf(lines[0], "old %d", &size); err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		var hashes [][]byte
		var proof tlog.TreeProof
		for _, line := range lines[1:] {
			hash, err := base64.StdEncoding.DecodeString(line)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			hashes = append(hashes, hash)
			proof = append(proof, tlog.Hash(hash))
		}
		root, hashes, proof := hashes[0], hashes[1:], proof[1:]
		err = merkleproof.VerifyConsistency(rfc6962.DefaultHasher, size, checkpoint.Size, hashes, root, checkpoint.Hash)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, int64(size), tlog.Hash(root)); err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
	}
	return len(files), nil
}
