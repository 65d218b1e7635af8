package stream

import (
	"context"
	"errors"
	"fmt"
)

// Foreign is an archive that another tool wrote, as an engine's package understands it.
type Foreign struct {
	Header  Header
	Entries []Entry
	// Plan lists the chunks; each has a Key of its own.
	Plan []Chunk
	// Objects are, by the chunk's key, the objects that hold its rows, in order.
	Objects map[string][]ForeignObject
}

// ForeignObject is one object of a Foreign archive.
type ForeignObject struct {
	Key         string
	Compression Compression
	// Blob is the OID of the large object that the object holds; 0 for rows.
	Blob uint32
}

// OpenForeign opens an archive that another tool wrote. Its chunks come with no record to
// check them by: Verify counts and digests what was read, and no more.
func OpenForeign(s Store, location string, f Foreign) *Reader {
	r := newReader(s, location)
	r.foreign = &f
	r.header = f.Header
	r.queue = append(r.queue, f.Plan...)
	r.left = len(r.queue)
	r.finishIfDone()
	return r
}

// Taken returns what was counted of a Foreign archive's chunks that were loaded for good.
func (r *Reader) Taken() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Record, 0, len(r.used))
	for _, rec := range r.used {
		all = append(all, rec)
	}
	return all
}

// IsForeign reports whether a location holds an archive that another tool wrote: its index is there, and
// nothing of pgmove's beside it.
func IsForeign(ctx context.Context, s Store, index string) (bool, error) {
	for _, key := range []string{keyManifest, keyHeader, keyHeartbeat, index} {
		rc, err := s.Get(ctx, key, 0)
		if errors.Is(err, ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", key, err)
		}
		return key == index, rc.Close()
	}
	return false, nil
}
