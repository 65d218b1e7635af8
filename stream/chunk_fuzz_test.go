package stream_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// FuzzChunk reads archives in which one data object is hostile: none is taken unless it is the true one, nothing
// panics, and never more comes out than was written.
func FuzzChunk(f *testing.F) {
	type archive struct {
		store *memory
		s     *sample
	}
	var all []archive
	for _, z := range []stream.Compression{stream.None, stream.Gzip, stream.Zstd} {
		store := &memory{}
		s := writeSample(f, store, z, "run-1")
		for i, c := range s.chunks {
			if c.Format != stream.FormatBlobs {
				f.Add(len(all), i, store.get(c.Key))
			}
		}
		all = append(all, archive{store, s})
	}
	f.Fuzz(func(t *testing.T, which, n int, b []byte) {
		a := all[uint(which)%uint(len(all))]
		c := a.s.chunks[uint(n)%uint(len(a.s.chunks))]
		store := &memory{objects: map[string][]byte{}}
		for k, v := range a.store.objects {
			store.objects[k] = v
		}
		key := c.Key
		if c.Format == stream.FormatBlobs {
			for k := range store.objects { // any of them
				if len(k) > 4 && k[:4] == "blob" {
					key = k
				}
			}
		}
		whole := store.objects[key]
		store.objects[key] = b
		r, err := stream.OpenSealed(t.Context(), store, "here", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := begin(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		cr, err := r.OpenChunk(t.Context(), c)
		var out int64
		if err == nil {
			defer cr.GiveBack(nil, false)
			if out, err = io.Copy(io.Discard, cr); err == nil {
				_, err = cr.Verify(-1)
			}
		}
		if out > int64(len(a.s.rows[c.Key])) {
			t.Errorf("%d bytes came out of %d", out, len(a.s.rows[c.Key]))
		}
		if err == nil && !bytes.Equal(b, whole) {
			t.Errorf("a forged object of %d bytes was taken", len(b))
		}
		if err != nil && stream.KindOf(err) != stream.Integrity {
			t.Errorf("kind %d: %v", stream.KindOf(err), err)
		}
	})
}
