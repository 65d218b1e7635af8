package main

import (
	"context"
	"io"
	"strings"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/stream"
)

// faulty is an archive's store with the tests' faults before and after each write.
type faulty struct{ stream.Store }

// Put stores an object.
func (f faulty) Put(ctx context.Context, key string, r io.Reader) error {
	kind := "chunk"
	switch name, meta := strings.CutPrefix(key, "pgmove/"); {
	case strings.HasPrefix(name, "chunks/"):
		kind = "record"
	case meta:
		kind = strings.TrimSuffix(name, ".json")
	case strings.HasSuffix(key, ".toc") || key == "toc.dat":
		kind = "toc"
	}
	fault.Point("archive." + kind + ":before")
	err := f.Store.Put(ctx, key, r)
	fault.Point("archive." + kind + ":after")
	return err
}
