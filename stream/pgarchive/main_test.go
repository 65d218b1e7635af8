package pgarchive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgarchive"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// memory is a store of a few objects that tests damage.
type memory map[string][]byte

func (m memory) Get(_ context.Context, key string, offset int64) (io.ReadCloser, error) {
	b, ok := m[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, stream.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b[min(offset, int64(len(b))):])), nil
}

func (m memory) List(_ context.Context, prefix string) ([]stream.ObjectInfo, error) {
	var out []stream.ObjectInfo
	for key, b := range m {
		if strings.HasPrefix(key, prefix) {
			out = append(out, stream.ObjectInfo{Key: key, Size: int64(len(b))})
		}
	}
	slices.SortFunc(out, func(a, b stream.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func (m memory) Put(context.Context, string, io.Reader) error { panic("an archive is only read") }
func (m memory) Delete(context.Context, string) error         { panic("an archive is only read") }

// loaded is what reading a whole archive came to.
type loaded struct {
	header  *stream.Header
	entries map[string]stream.Entry  // data and sequences by description and name
	digests map[string]stream.Digest // rows by the table's name
	blobs   map[uint32][]byte
	chunks  map[string]int // by the table's name
}

// load opens an archive and reads all its chunks, the way a restore does.
func load(t testing.TB, s stream.Store) (*loaded, *stream.Contents, []string) {
	t.Helper()
	ctx := t.Context()
	r, contents, warnings, err := pgarchive.Open(ctx, s, "the archive")
	if err != nil {
		t.Fatal(err)
	}
	l, err := readAll(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	return l, contents, warnings
}

func readAll(ctx context.Context, r *stream.Reader) (*loaded, error) {
	l := &loaded{entries: map[string]stream.Entry{}, digests: map[string]stream.Digest{}, blobs: map[uint32][]byte{}, chunks: map[string]int{}}
	var err error
	if l.header, err = r.Header(ctx); err != nil {
		return nil, err
	}
	entries, err := r.Entries(ctx)
	if err != nil {
		return nil, err
	}
	names := map[stream.DumpID]string{}
	for _, e := range entries {
		if e.Section == stream.Data || e.Section == stream.Sequences {
			l.entries[string(e.Desc+" "+e.Namespace+"."+e.Tag)] = e
			names[e.ID] = string(e.Namespace + "." + e.Tag)
			if (e.Table != nil) != (e.Section == stream.Data) {
				return nil, fmt.Errorf("entry %d is of section %s", e.ID, e.Section)
			}
		}
	}
	if _, err := r.Plan(ctx); err != nil {
		return nil, err
	}
	for {
		c, err := r.Next(ctx)
		if err == io.EOF {
			return l, nil
		}
		if err != nil {
			return nil, err
		}
		rec, err := readChunk(ctx, r, c, l.blobs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", names[c.Table], err)
		}
		d := l.digests[names[c.Table]]
		d.Add(rec.Digest)
		l.digests[names[c.Table]] = d
		l.chunks[names[c.Table]]++
	}
}

func readChunk(ctx context.Context, r *stream.Reader, c stream.Chunk, blobs map[uint32][]byte) (*stream.Record, error) {
	cr, err := r.OpenChunk(ctx, c)
	if err != nil {
		return nil, err
	}
	defer cr.GiveBack(nil, false)
	if c.Format == stream.FormatBlobs {
		for s := stream.NewBlobScanner(cr); ; {
			oid, at, piece, err := s.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			if at != int64(len(blobs[oid])) {
				return nil, fmt.Errorf("large object %d: a piece at %d", oid, at)
			}
			blobs[oid] = append(blobs[oid], piece...)
		}
	}
	if _, err := io.Copy(io.Discard, cr); err != nil {
		return nil, err
	}
	rec, err := cr.Verify(-1)
	if err != nil {
		return nil, err
	}
	return rec, cr.Close()
}
