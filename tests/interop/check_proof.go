// SPDX-License-Identifier: Apache-2.0

// check_proof PROOF... | -growth NEWER OLDER checks the trees of proofs that bulla wrote, with the code of Go's checksum database: that the commit is in
// the tree of the checkpoint, the batch in the commit, the entries in the batch; and that the checkpoint is a note as that code
// reads it. The seal itself, which is of a kind of its own, docs/verify_proof.py checks.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func demand(ok bool, format string, args ...interface{}) {
	if !ok {
		fmt.Printf(format+"\n", args...)
		os.Exit(1)
	}
}

func must(err error, what string) {
	demand(err == nil, "%s: %v", what, err)
}

// reader goes through the bytes behind "extra".
type reader struct{ left []byte }

func (r *reader) take(n uint64) []byte {
	demand(n <= uint64(len(r.left)), "extra ends too early")
	p := r.left[:n]
	r.left = r.left[n:]
	return p
}

func (r *reader) varint() uint64 {
	v, n := binary.Uvarint(r.left)
	demand(n > 0, "no number")
	r.left = r.left[n:]
	return v
}

func (r *reader) sized() []byte { return r.take(r.varint()) }

func (r *reader) path() (p tlog.RecordProof) {
	for n := r.take(1)[0]; n > 0; n-- {
		p = append(p, hash(r.take(32)))
	}
	return p
}

func hash(b []byte) (h tlog.Hash) {
	demand(len(b) == len(h), "not a hash")
	copy(h[:], b)
	return h
}

func decode(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	must(err, text)
	return b
}

// rootOf is the root over all entries of a batch.
func rootOf(leaves [][]byte) tlog.Hash {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) (list []tlog.Hash, err error) {
		for _, i := range indexes {
			list = append(list, stored[i])
		}
		return list, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashes(int64(i), leaf, read)
		must(err, "stored hashes")
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(len(leaves)), read)
	must(err, "tree hash")
	return root
}

func checkNote(text string) (size int64, root tlog.Hash) {
	// Nobody's key is known: the library reads the note and says so.
	_, err := note.Open([]byte(text), note.VerifierList())
	e, ok := err.(*note.UnverifiedNoteError)
	demand(ok, "not a note: %v", err)
	demand(len(e.Note.UnverifiedSigs) == 1, "more than one signature")
	lines := strings.Split(e.Note.Text, "\n")
	demand(len(lines) == 4 && lines[0] == e.Note.UnverifiedSigs[0].Name, "not a checkpoint")
	size, err = strconv.ParseInt(lines[1], 10, 64)
	must(err, "size")
	return size, hash(decode(lines[2]))
}

// checkSuccession checks that the commit in which a key named the next is the last of a tree; which tree that is, its seal says.
func checkSuccession(r *reader) {
	commit, path := r.sized(), r.path()
	r.varint()
	r.sized()
	demand(bytes.HasPrefix(commit, []byte("T\x01")), "a succession without a commit")
	index := int64(binary.LittleEndian.Uint64(commit[2:]))
	root := tlog.RecordHash(commit)
	for _, h := range path {
		root = tlog.NodeHash(h, root)
	}
	must(tlog.CheckRecord(path, index+1, root, index, tlog.RecordHash(commit)), "commit of a succession")
}

// headOf reads a file of a head: what goes on from an older one, if anything, and the note.
func headOf(path string) (growth []string, size int64, root tlog.Hash) {
	data, err := os.ReadFile(path)
	must(err, path)
	text := string(data)
	for strings.HasPrefix(text, "succession ") {
		lines := strings.SplitN(text, "\n", 2)
		r := &reader{decode(lines[0][len("succession "):])}
		checkSuccession(r)
		demand(len(r.left) == 0 && len(lines) == 2, "bytes left over")
		text = lines[1]
	}
	if strings.HasPrefix(text, "old ") {
		parts := strings.SplitN(text, "\n\n", 2)
		demand(len(parts) == 2, "no head")
		growth, text = strings.Split(parts[0], "\n"), parts[1]
	}
	size, root = checkNote(text)
	return growth, size, root
}

func check(path string) {
	data, err := os.ReadFile(path)
	must(err, path)
	parts := strings.SplitN(string(data), "\n\n", 2)
	demand(len(parts) == 2, "no checkpoint")
	head := strings.Split(parts[0], "\n")
	demand(head[0] == "c2sp.org/tlog-proof@v1" && strings.HasPrefix(head[1], "extra ") &&
		strings.HasPrefix(head[2], "index "), "not a proof")
	index, err := strconv.ParseInt(head[2][6:], 10, 64)
	must(err, "index")
	var inTree tlog.RecordProof
	for _, line := range head[3:] {
		inTree = append(inTree, hash(decode(line)))
	}
	size, root := checkNote(parts[1])
	r := &reader{decode(head[1][6:])}
	demand(r.take(1)[0] == 1, "a newer format")
	extent := r.take(1)[0]
	for n := r.varint(); n > 0; n-- {
		checkSuccession(r)
	}
	commit, place := r.sized(), int64(r.varint())
	inCommit, batch := r.path(), r.sized()
	must(tlog.CheckRecord(inTree, size, root, index, tlog.RecordHash(commit)), "commit in the tree")
	demand(bytes.HasPrefix(commit, []byte("T\x01")) && bytes.HasPrefix(batch, []byte("B\x01")), "statements")
	batches := int64(binary.LittleEndian.Uint32(commit[34:]))
	must(tlog.CheckRecord(inCommit, batches, hash(commit[38:70]), place, tlog.RecordHash(batch)), "batch in the commit")
	n, batchRoot := int64(binary.LittleEndian.Uint32(batch[35:])), hash(batch[len(batch)-32:])
	var inBatch tlog.RecordProof
	if extent == 0 {
		place = int64(r.varint())
		inBatch = r.path()
	}
	var entries [][]byte
	for k := r.varint(); k > 0; k-- {
		entries = append(entries, r.sized())
	}
	switch extent {
	case 0:
		must(tlog.CheckRecord(inBatch, n, batchRoot, place, tlog.RecordHash(entries[0])), "entry in the batch")
	case 1:
		demand(int64(len(entries)) == n && rootOf(entries) == batchRoot, "entries of the batch")
	}
	contexts := map[string]bool{}
	for k := r.varint(); k > 0; k-- {
		h := sha256.Sum256(append([]byte{0}, r.sized()...))
		contexts[string(h[:])] = true
	}
	for _, e := range entries {
		demand(contexts[string(e[36:68])], "context of an entry")
	}
	demand(len(r.left) == 0, "bytes left over")
}

// checkGrowth checks that the newer head goes on from the older.
func checkGrowth(newer, older string) {
	_, oldSize, oldRoot := headOf(older)
	lines, size, root := headOf(newer)
	demand(len(lines) > 0 && lines[0] == fmt.Sprintf("old %d", oldSize), "goes on from another head")
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		proof = append(proof, hash(decode(line)))
	}
	must(tlog.CheckTree(proof, size, root, oldSize, oldRoot), "growth")
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "-growth" {
		checkGrowth(os.Args[2], os.Args[3])
		return
	}
	for _, path := range os.Args[1:] {
		check(path)
	}
	fmt.Printf("%d proofs\n", len(os.Args)-1)
}
