package pgarchive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// The bounds of a chunk of large objects: enough for the chunk to be worth a transaction, few enough
// for several loaders to share the work.
const (
	blobsPerChunk = 500
	bytesPerChunk = 256 << 20 // as stored
)

// blobs makes the one data entry that stands for all large objects, and plans its chunks. Since version
// 1.16 of the archive there may be several lists of them.
func (a *archive) blobs(ctx context.Context) error {
	created, err := a.createdBlobs()
	if err != nil {
		return err
	}
	var data *stream.Entry
	at := -1
	var objects []object
	seen := map[uint32]bool{}
	for i := range a.toc.Entries {
		te := &a.toc.Entries[i]
		if te.Desc != pgtoc.DescBlobs {
			continue
		}
		id := stream.DumpID(te.ID)
		if data == nil {
			data = &stream.Entry{ID: id, Section: stream.Data, Desc: pgtoc.DescBlobs, Tag: pgtoc.DescBlobs,
				Table: &stream.Table{Name: "large objects", LargeObjects: true}}
			at = a.before(i)
		} else {
			a.alias[id] = data.ID
		}
		for _, d := range te.Deps {
			data.Dependencies = append(data.Dependencies, stream.DumpID(d))
		}
		list, err := a.blobList(ctx, te)
		if err != nil {
			return err
		}
		for _, o := range list {
			switch {
			case seen[o.Blob]:
				return a.damaged("%s: large object %d is listed twice", te.File, o.Blob)
			case len(created) == 0:
				return a.refused("it holds large objects and not the entries that create them (pg_dump --data-only)")
			case !created[o.Blob]:
				return a.damaged("%s: large object %d, which no entry creates", te.File, o.Blob)
			}
			seen[o.Blob] = true
		}
		objects = append(objects, list...)
	}
	if data == nil {
		return nil
	}
	for _, oid := range slices.Sorted(maps.Keys(created)) {
		if !seen[oid] {
			return a.damaged("large object %d has no data: no list names its file", oid)
		}
	}
	if err := a.planBlobs(data, objects); err != nil {
		return err
	}
	a.out.Entries = slices.Insert(a.out.Entries, at, *data)
	a.compare(data, stream.FormatBlobs)
	return nil
}

// before returns the place in the entries that belongs to the i-th of the table of contents.
func (a *archive) before(i int) int {
	earlier := map[stream.DumpID]bool{}
	for j := range i {
		earlier[stream.DumpID(a.toc.Entries[j].ID)] = true
	}
	for n := range a.out.Entries {
		if !earlier[a.out.Entries[n].ID] {
			return n
		}
	}
	return len(a.out.Entries)
}

// createdBlobs returns the large objects that the entries create.
func (a *archive) createdBlobs() (map[uint32]bool, error) {
	created := map[uint32]bool{}
	for i := range a.toc.Entries {
		e := &a.toc.Entries[i]
		var oids []uint32
		switch e.Desc {
		case pgtoc.DescBlob:
			oid, ok := parseOID(e.Tag)
			if !ok {
				return nil, a.damaged("%s: entry %d creates no large object", keyIndex, e.ID)
			}
			oids = []uint32{oid}
		case pgtoc.DescBlobMetadata:
			var err error
			if oids, err = pgtoc.LargeObjects(e); err != nil {
				return nil, a.damaged("%s", keyIndex).Because(err)
			}
		}
		for _, oid := range oids {
			if created[oid] {
				return nil, a.damaged("%s: entry %d creates large object %d once more", keyIndex, e.ID, oid)
			}
			created[oid] = true
		}
	}
	return created, nil
}

func parseOID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

// blobList reads the list of large objects that belongs to an entry: a line each, of the OID and the file's name.
func (a *archive) blobList(ctx context.Context, te *pgtoc.Entry) ([]object, error) {
	if !te.HadDumper || !strings.HasPrefix(te.File, "blobs") || !strings.HasSuffix(te.File, ".toc") {
		return nil, a.damaged("%s: entry %d (%s) has no list of large objects", keyIndex, te.ID, label(te))
	}
	l, err := a.find(te.File, te)
	if err != nil {
		return nil, err
	}
	if l.Compression != stream.None {
		return nil, a.refused("the list of large objects %s is compressed", l.Key).WithHint("unpack it to %s, as pg_dump wrote it", te.File)
	}
	rc, err := a.store.Get(ctx, l.Key, 0)
	if errors.Is(err, stream.ErrNotExist) {
		return nil, a.damaged("%s is missing, which lists large objects", l.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.Key, err)
	}
	defer func() { _ = rc.Close() }()
	bounded := &io.LimitedReader{R: rc, N: maxIndex + 1 - a.lists}
	lines := bufio.NewReaderSize(bounded, 4096)
	var out []object
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case bounded.N <= 0:
			return nil, a.damaged("%s: the lists of large objects are larger than %d bytes", l.Key, maxIndex)
		case err == io.EOF && len(line) == 0:
			a.lists = maxIndex + 1 - bounded.N
			return out, nil
		case err == io.EOF, errors.Is(err, bufio.ErrBufferFull):
			return nil, a.damaged("%s: line %d has no end", l.Key, len(out)+1)
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", l.Key, err)
		}
		number, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		oid, ok := parseOID(number)
		if !ok || name != stream.BlobKey(oid, stream.None) {
			return nil, a.damaged("%s: line %d is not that of a large object and its file", l.Key, len(out)+1)
		}
		o, err := a.find(name, te)
		if err != nil {
			return nil, err
		}
		o.Blob = oid
		out = append(out, o)
	}
}

// planBlobs cuts the large objects into chunks. Without any there is one empty chunk: every data entry has one.
func (a *archive) planBlobs(e *stream.Entry, objects []object) error {
	var parts [][]object
	for len(objects) > 0 || len(parts) == 0 {
		n, size := 0, int64(0)
		for n < len(objects) && n < blobsPerChunk && (n == 0 || size+objects[n].size <= bytesPerChunk) {
			size += objects[n].size
			n++
		}
		parts = append(parts, objects[:n])
		objects = objects[n:]
	}
	next := a.toc.MaxID()
	if len(parts)-1 > int(math.MaxInt32-next) {
		return a.damaged("%s: there are no dump IDs left for %d parts of the large objects", keyIndex, len(parts))
	}
	for n, p := range parts {
		// The key is the chunk's name alone: its objects have their own.
		c := stream.Chunk{Table: e.ID, N: n, Of: len(parts), ID: e.ID, Format: stream.FormatBlobs, Key: fmt.Sprintf("blobs_%d-%d", e.ID, n)}
		if len(parts) > 1 {
			next++
			c.ID = stream.DumpID(next)
		}
		held := make([]stream.ForeignObject, len(p))
		for i, o := range p {
			held[i] = o.ForeignObject
			c.Bytes += o.size
		}
		e.Table.Bytes += c.Bytes
		a.out.Plan = append(a.out.Plan, c)
		a.out.Objects[c.Key] = held
	}
	e.Table.Rows = -1
	return nil
}
