// SPDX-License-Identifier: Apache-2.0

// check_trees DIRECTORY checks what make_ledger wrote with the tree code of Go's checksum database: every root and every
// proof must be the very one that it makes itself, and the checkpoints and the key must have the forms that it reads.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
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

func hash(s string) (h tlog.Hash) {
	b, err := hex.DecodeString(s)
	must(err, s)
	demand(len(b) == len(h), "%s: not a hash", s)
	copy(h[:], b)
	return h
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	must(err, s)
	return n
}

var stored []tlog.Hash
var leaves []tlog.Hash

var reader = tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
	var list []tlog.Hash
	for _, i := range indexes {
		if i >= int64(len(stored)) {
			return nil, errors.New("beyond the end")
		}
		list = append(list, stored[i])
	}
	return list, nil
})

func addLeaf(h tlog.Hash) {
	more, err := tlog.StoredHashesForRecordHash(int64(len(leaves)), h, reader)
	must(err, "leaf")
	stored = append(stored, more...)
	leaves = append(leaves, h)
}

func proof(fields []string) []tlog.Hash {
	list := make([]tlog.Hash, 0)
	for _, s := range fields {
		list = append(list, hash(s))
	}
	return list
}

func same(a, b []tlog.Hash) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

func root(size int64) tlog.Hash {
	h, err := tlog.TreeHash(size, reader)
	must(err, "root")
	return h
}

func checkRecord(size, index int64, ours []tlog.Hash) {
	theirs, err := tlog.ProveRecord(size, index, reader)
	must(err, "prove record")
	demand(same(ours, theirs), "record %d of %d: another proof", index, size)
	must(tlog.CheckRecord(ours, size, root(size), index, leaves[index]), "check record")
}

func checkTree(size, old int64, ours []tlog.Hash) {
	theirs, err := tlog.ProveTree(size, old, reader)
	must(err, "prove tree")
	demand(same(ours, theirs), "tree %d in %d: another proof", old, size)
	must(tlog.CheckTree(ours, size, root(size), old, root(old)), "check tree")
}

func checkCheckpoint(size int64, text string) {
	text = strings.ReplaceAll(text, `\n`, "\n")
	rest := text[strings.Index(text, "\n"):]
	// The checksum database has another name; the other lines are of the same form.
	tree, err := tlog.ParseTree([]byte("go.sum database tree" + rest))
	must(err, "checkpoint")
	demand(tree.N == size && tree.Hash == root(size), "checkpoint of %d: other size or root", size)
}

// The key is of an algorithm that this library does not know, which it finds out only after all else was in order.
func checkKey(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "vkey"))
	must(err, "vkey")
	vkey := strings.TrimSpace(string(b))
	_, err = note.NewVerifier(vkey)
	demand(err != nil && strings.Contains(err.Error(), "algorithm"), "vkey: %v", err)
	part := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(part[2])
	must(err, "vkey")
	sum := sha256.Sum256(append([]byte(part[0]+"\n"), key...))
	demand(hex.EncodeToString(sum[:4]) == part[1], "vkey: another key id")
}

func main() {
	dir := os.Args[1]
	f, err := os.Open(filepath.Join(dir, "trees"))
	must(err, "trees")
	count := map[string]int{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		p := strings.Fields(lines.Text())
		count[p[0]]++
		switch p[0] {
		case "leaf":
			addLeaf(hash(p[1]))
		case "root":
			demand(hash(p[2]) == root(number(p[1])), "another root of %s", p[1])
		case "record":
			checkRecord(number(p[1]), number(p[2]), proof(p[3:]))
		case "tree":
			checkTree(number(p[1]), number(p[2]), proof(p[3:]))
		case "checkpoint":
			checkCheckpoint(number(p[1]), p[2])
		default:
			demand(false, "what is %q?", p[0])
		}
	}
	must(lines.Err(), "trees")
	demand(count["leaf"] > 16 && count["record"] == count["tree"] && count["tree"] > 200, "too few: %v", count)
	checkKey(dir)
	fmt.Println("agreed on", count)
}
