package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgmove/pgmove/stream/blockpipe"
)

// Writer writes an archive into a store: header, entries and plan first, then chunks in
// any order and from several goroutines, the manifest last.
type Writer struct {
	store  Store
	header Header
	mac    MACKey
	beat   *heartbeat // nil in a live run, and before Claim
	prior  *Prior     // nil unless it goes on
	roles  []Role     // nil where none are kept

	mu      sync.Mutex
	objects []Object
	records []Record
}

// NewWriter begins an archive. A live store (one that hands objects over instead
// of keeping them) gets rows without compression and no manifest.
func NewWriter(store Store, live bool, c Compression) *Writer {
	if live {
		c = None
	}
	return &Writer{store: store, header: Header{Format: FormatVersion, Live: live, Compression: c}}
}

// Authenticate has every object under pgmove/ bear an authentication code made with the
// key. It comes before Claim.
func (w *Writer) Authenticate(key MACKey) { w.mac = key }

// Compression is that of the archive's chunks.
func (w *Writer) Compression() Compression { return w.header.Compression }

// Live reports whether the archive is handed over rather than kept.
func (w *Writer) Live() bool { return w.header.Live }

// ChunkKey is the name of the object for the chunk with the ID, as pg_dump would give it.
func (w *Writer) ChunkKey(id DumpID) string { return w.Key(fmt.Sprintf("%d.dat", id)) }

// Key is the name of an object for rows, with the suffix of the archive's compression.
func (w *Writer) Key(name string) string { return name + w.header.Compression.Suffix() }

// Begin writes the header, the entries and the plan. From here on a reader can
// follow.
func (w *Writer) Begin(ctx context.Context, h Header, entries []Entry, plan []Chunk) (Header, error) {
	h.Format, h.Live, h.Compression, h.Roles = w.header.Format, w.header.Live, w.header.Compression, w.roles != nil
	w.header = h
	if err := w.beat.rename(ctx, h.Run); err != nil {
		return h, err
	}
	for _, o := range []struct {
		key  string
		body any
	}{{keyHeader, h}, {keyRoles, w.roles}, {keyEntries, entries}, {keyPlan, plan}} {
		if o.key == keyRoles && !h.Roles {
			continue
		}
		b, err := wrap(o.key, h.Run, w.mac, o.body)
		if err != nil {
			return h, err
		}
		if err := w.PutObject(ctx, o.key, b); err != nil {
			return h, err
		}
	}
	return h, nil
}

// PutObject stores a whole object and notes it for the manifest.
func (w *Writer) PutObject(ctx context.Context, key string, b []byte) error {
	if err := w.store.Put(ctx, key, bytes.NewReader(b)); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects = append(w.objects, Object{Key: key, Size: int64(len(b)), SHA256: sha256.Sum256(b)})
	return nil
}

// body is the reader that a chunk's Put gets. In a live run the reader at the
// other end asks it for the record, after io.EOF.
type body struct {
	*blockpipe.Reader
	record *Record
}

// Record returns the chunk's record; it is valid once Read returned io.EOF.
func (b *body) Record() Record { return *b.record }

// SizeHint estimates the object's size, in bytes, for stores that must know what is coming: rows
// as text may take twice what they take on the source's disk.
func (b *body) SizeHint() int64 { return 2 * b.record.Bytes }

// WriteChunk stores one chunk: fill writes the rows, WriteChunk digests,
// compresses, hashes and stores them, and returns the chunk's record once it is
// durable or, in a live run, once the reader has acknowledged it. Nothing of the chunk
// is visible when it fails. An error that wraps ErrAbandoned invites to offer
// the chunk again.
func (w *Writer) WriteChunk(ctx context.Context, c Chunk, fill func(io.Writer) error) (Record, error) {
	rec := Record{Chunk: c}
	dig := NewDigester(c.Format)
	var err error
	if c.Format == FormatBlobs && !w.header.Live {
		bw := &blobWriter{ctx: ctx, w: w, rec: &rec}
		err = fill(io.MultiWriter(dig, bw))
		err = errors.Join(err, bw.close(err))
		if err == nil {
			err = dig.Close()
		}
		rec.Digest, rec.RawBytes = dig.Digest(), dig.Bytes()
	} else {
		err = w.putStream(ctx, &rec, dig, fill)
	}
	if err != nil {
		return rec, err
	}
	if !w.header.Live {
		if err := w.putRecord(ctx, &rec); err != nil {
			return rec, err // it may come again, and counts once
		}
	}
	w.mu.Lock()
	w.records = append(w.records, rec)
	w.mu.Unlock()
	if !w.header.Live {
		w.beat.chunk(c.ID)
	}
	return rec, nil
}

func recordKey(id DumpID) string {
	return fmt.Sprintf("%s%d.json", keyRecords, id)
}

// A chunk passes from the database's driver to the store in blocks: memory is
// pipeBlocks × pipeBlock bytes for each chunk under way.
const (
	pipeBlock  = 128 << 10
	pipeBlocks = 4
)

// textTrailer ends a text data file of a pg_dump archive.
const textTrailer = "\\.\n\n\n"

// putStream stores a chunk that is one object.
func (w *Writer) putStream(ctx context.Context, rec *Record, dig *Digester, fill func(io.Writer) error) error {
	pr, pw := blockpipe.New(pipeBlocks, pipeBlock)
	put := make(chan error, 1)
	go func() {
		err := w.store.Put(ctx, rec.Key, &body{pr, rec})
		_ = pr.CloseWithError(err)
		put <- err
	}()
	err := func() error {
		if w.header.Live {
			if err := fill(io.MultiWriter(dig, pw)); err != nil {
				return err
			}
			if err := dig.Close(); err != nil {
				return err
			}
			rec.Digest, rec.RawBytes = dig.Digest(), dig.Bytes()
			return nil
		}
		m := newMeter(pw)
		z, err := w.header.Compression.writer(m)
		if err != nil {
			return err
		}
		if err := fill(io.MultiWriter(dig, z)); err != nil {
			_ = z.Close()
			return err
		}
		if err := dig.Close(); err != nil {
			_ = z.Close()
			return err
		}
		if rec.Format == FormatText && !w.header.Bare {
			if _, err := io.WriteString(z, textTrailer); err != nil {
				return err
			}
		}
		if err := z.Close(); err != nil {
			return err
		}
		rec.Digest, rec.RawBytes = dig.Digest(), dig.Bytes()
		rec.Objects = []Object{m.object(rec.Key)}
		return nil
	}()
	if cerr := pw.CloseWithError(err); err == nil {
		err = cerr
	}
	perr := <-put
	if perr != nil && (err == nil || errors.Is(perr, ErrAbandoned)) {
		return perr
	}
	return err
}

// Seal writes the native tools' index objects, in order, and then the manifest.
// A live archive is not sealed: its contents go into the report.
func (w *Writer) Seal(ctx context.Context, index []NamedObject, contents *Contents) error {
	if w.header.Live {
		return nil
	}
	for _, o := range index {
		if err := w.PutObject(ctx, o.Key, o.Data); err != nil {
			return err
		}
	}
	// Nobody else may have written here meanwhile.
	if err := w.beat.check(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	m := Manifest{Sealed: time.Now().UTC().Truncate(time.Second), Objects: w.objects, Chunks: w.records, Contents: *contents}
	w.mu.Unlock()
	// What no reader would take is not sealed.
	listed := map[DumpID]bool{}
	for i := range m.Chunks {
		if id := m.Chunks[i].ID; listed[id] {
			return Fail(Failed, "chunk %d would be listed twice in %s", id, keyManifest)
		}
		listed[m.Chunks[i].ID] = true
	}
	b, err := wrap(keyManifest, w.header.Run, w.mac, m)
	if err != nil {
		return err
	}
	if err := w.store.Put(ctx, keyManifest, bytes.NewReader(b)); err != nil {
		return fmt.Errorf("write %s: %w", keyManifest, err)
	}
	return w.beat.end(ctx, beatSealed, "")
}

// Records returns the records of the chunks written so far.
func (w *Writer) Records() []Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Record(nil), w.records...)
}

// NamedObject is a small object held in memory.
type NamedObject struct {
	Key  string
	Data []byte
}

// Empty returns an error unless the store holds nothing: an archive is never
// written over another. With begun it may hold what a dump writes before its first chunk, in clear or encrypted.
func Empty(ctx context.Context, s Store, location string, begun bool) error {
	l, err := s.List(ctx, "")
	if err != nil {
		return err
	}
	others := slices.ContainsFunc(l, func(o ObjectInfo) bool {
		k := strings.TrimSuffix(o.Key, ".age")
		return k != keyHeartbeat && k != keyHeader && k != keyEntries && k != keyPlan && k != keyRoles
	})
	if len(l) == 0 || begun && !others {
		return nil
	}
	what, hint := fmt.Sprintf("it holds %d objects", len(l)), "name an empty location, or delete what is there"
	for _, o := range l {
		if o.Key == keyManifest {
			what = "it holds an archive"
		} else if o.Key == keyHeader && !strings.Contains(what, "archive") {
			what = "it holds an archive that was never finished"
			hint = "give --resume to go on with it; else name an empty location, or delete what is there"
		}
	}
	return (&Failure{Kind: Preflight, Object: location, Msg: what}).WithHint("%s", hint)
}

// Remove deletes all objects of an archive, the manifest first: what is left when that is interrupted
// is no archive.
func Remove(ctx context.Context, s Store) error {
	if err := s.Delete(ctx, keyManifest); err != nil {
		return err
	}
	l, err := s.List(ctx, "")
	if err != nil {
		return err
	}
	for _, o := range l {
		if err := s.Delete(ctx, o.Key); err != nil {
			return err
		}
	}
	return nil
}
