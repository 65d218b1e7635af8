package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// OpenChunk opens a chunk's rows.
func (r *Reader) OpenChunk(ctx context.Context, c Chunk) (*ChunkReader, error) {
	cr := &ChunkReader{ctx: ctx, r: r, chunk: c, dig: NewDigester(c.Format)}
	if r.header.Live {
		rc, err := r.store.Get(ctx, c.Key, 0)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", c.Key, err)
		}
		cr.src, cr.live = rc, rc
		return cr, nil
	}
	objects, err := r.objects(ctx, cr)
	if err != nil {
		return nil, err
	}
	if c.Format == FormatBlobs {
		cr.src = &blobReader{ctx: ctx, r: r, objects: objects}
		return cr, nil
	}
	o, err := r.openObject(ctx, objects[0])
	if err != nil {
		return nil, err
	}
	cr.src, cr.object = o, o
	if c.Format == FormatText && !r.header.Bare {
		cr.src = &trailerReader{r: o}
	}
	return cr, nil
}

// stored is one object of a chunk, and how to take it.
type stored struct {
	key  string
	blob uint32
	z    Compression
	want *Object // what it must be; nil where another tool wrote it
}

// objects returns what holds a chunk, and sets its record where there is one.
func (r *Reader) objects(ctx context.Context, cr *ChunkReader) ([]stored, error) {
	var all []stored
	if r.foreign != nil {
		for _, o := range r.foreign.Objects[cr.chunk.Key] {
			all = append(all, stored{key: o.Key, blob: o.Blob, z: o.Compression})
		}
		if cr.chunk.Format != FormatBlobs && len(all) != 1 {
			return nil, r.broken(cr.chunk.Key, fmt.Errorf("%d objects hold the chunk instead of one", len(all)))
		}
		return all, nil
	}
	rec, err := r.record(ctx, cr.chunk)
	if err != nil {
		return nil, err
	}
	cr.record = rec
	for i := range rec.Objects {
		o := stored{key: rec.Objects[i].Key, z: r.header.Compression, want: &rec.Objects[i]}
		if rec.Format == FormatBlobs {
			if o.blob, err = blobOID(o.key); err != nil {
				return nil, r.broken(o.key, err)
			}
		}
		all = append(all, o)
	}
	return all, nil
}

// record returns the chunk's record: the manifest's, or the one beside the chunk.
func (r *Reader) record(ctx context.Context, c Chunk) (*Record, error) {
	if r.manifest != nil {
		if rec, ok := r.records[c.Key]; ok {
			return rec, nil
		}
		return nil, r.broken(c.Key, errors.New("the manifest does not list it"))
	}
	key := recordKey(c.ID)
	_, b, err := r.body(ctx, key, maxRecord)
	if err != nil {
		return nil, err
	}
	var rec Record
	if err := decode(b, &rec); err != nil {
		return nil, r.broken(key, err)
	}
	if err := rec.check(); err != nil {
		return nil, r.broken(key, err)
	}
	if rec.Chunk != c {
		return nil, r.broken(key, errors.New("its chunk is not as the plan has it"))
	}
	r.mu.Lock()
	r.used[c.Key] = rec
	delete(r.seen, key)
	r.mu.Unlock()
	return &rec, nil
}

// objectReader reads a compressed object and checks its size and hash on the way.
type objectReader struct {
	io.Reader // decompressed
	stored
	raw    io.ReadCloser
	z      io.ReadCloser
	n      int64
	h      hash.Hash
	ended  bool
	reader *Reader
}

func (r *Reader) openObject(ctx context.Context, o stored) (*objectReader, error) {
	raw, err := r.store.Get(ctx, o.key, 0)
	if errors.Is(err, ErrNotExist) {
		return nil, r.broken(o.key, errors.New("it is missing"))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.key, err)
	}
	window := uint64(zstdMaxWindow)
	if o.want == nil {
		window = zstdForeignWindow
	}
	or := &objectReader{stored: o, raw: raw, h: sha256.New(), reader: r}
	if or.z, err = o.z.reader(rawReader{or}, window); err != nil {
		_ = raw.Close()
		return nil, or.damaged(unexpected(err))
	}
	or.Reader = or.z
	return or, nil
}

// damaged is the Failure for an object that can't be what was written. Where its hash tells
// more, the hash is what it says: a decompressor's words for a swapped object lead nowhere.
func (o *objectReader) damaged(err error) error {
	if KindOf(err) != Failed || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return o.reader.broken(o.key, err)
}

// rawReader counts and hashes the object's own bytes.
type rawReader struct{ o *objectReader }

func (rr rawReader) Read(p []byte) (int, error) {
	o := rr.o
	n, err := o.raw.Read(p)
	o.n += int64(n)
	if o.want == nil {
		return n, err
	}
	_, _ = o.h.Write(p[:n])
	if o.n > o.want.Size {
		return n, o.reader.broken(o.key, fmt.Errorf("it is longer than the %d bytes that were written", o.want.Size))
	}
	return n, err
}

// Read yields decompressed bytes; a decompressor's complaint means a damaged object.
func (o *objectReader) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		o.ended = true
	} else if err != nil {
		err = o.damaged(err)
	}
	return n, err
}

// verify checks the whole object, after its end.
func (o *objectReader) verify() error {
	if _, err := io.Copy(io.Discard, rawReader{o}); err != nil {
		return err
	}
	if o.want == nil {
		return nil
	}
	got := Object{Key: o.key, Size: o.n}
	o.h.Sum(got.SHA256[:0])
	if err := o.reader.manifest.same(*o.want, got); err != nil {
		return o.reader.broken(o.key, err)
	}
	return nil
}

func (o *objectReader) Close() error {
	_ = o.z.Close()
	return o.raw.Close()
}

// trailerReader takes the trailer off a text data file.
type trailerReader struct {
	r    *objectReader
	hold []byte
	buf  []byte
	err  error
}

func (t *trailerReader) Read(p []byte) (int, error) {
	for {
		if n := len(t.hold) - len(textTrailer); n > 0 {
			n = copy(p, t.hold[:n])
			t.hold = t.hold[n:]
			return n, nil
		}
		if t.err != nil {
			if errors.Is(t.err, io.EOF) && !bytes.Equal(t.hold, []byte(textTrailer)) {
				t.err = t.r.reader.broken(t.r.key, fmt.Errorf("it lacks the end mark: %w", io.ErrUnexpectedEOF))
			}
			return 0, t.err
		}
		if t.buf == nil {
			t.buf = make([]byte, pipeBlock+len(textTrailer))
		}
		k := copy(t.buf, t.hold)
		n, err := t.r.Read(t.buf[k:])
		t.hold, t.err = t.buf[:k+n], err
	}
}

func (t *trailerReader) Close() error { return t.r.Close() }

// Rows are a chunk's rows. Verify, at their end, says whether they are all there
// and as they were on the source; taken is how many the database counted, -1 where
// it counts none.
type Rows interface {
	io.Reader
	Verify(taken int64) (*Record, error)
}

// ChunkReader yields a chunk's rows. Who has read them to io.EOF calls Verify, loads
// for good, and then calls Close; who cannot take them calls GiveBack.
type ChunkReader struct {
	ctx    context.Context
	r      *Reader
	chunk  Chunk
	src    io.ReadCloser
	live   io.ReadCloser
	object *objectReader
	record *Record
	dig    *Digester
	eof    bool
	closed bool
}

// Read yields rows.
func (c *ChunkReader) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	if c.live == nil && n > 0 {
		if _, derr := c.dig.Write(p[:n]); derr != nil {
			return 0, c.r.broken(c.chunk.Key, derr)
		}
		// A forged object may unpack to any size: it must not get further than its record.
		if c.record != nil && c.dig.Bytes() > c.record.RawBytes {
			return 0, c.r.broken(c.chunk.Key, fmt.Errorf("its rows have more than the %d bytes that were written", c.record.RawBytes))
		}
	}
	if errors.Is(err, io.EOF) {
		c.eof = true
	}
	return n, err
}

// Verify checks, before the rows are committed, that the rows read are those of the
// record, and that the database took as many as there are. It returns the
// record. Bytes that only passed through this process's memory are counted, not
// digested again; those of another tool's archive are digested, and compared with nothing.
func (c *ChunkReader) Verify(rows int64) (*Record, error) {
	if !c.eof {
		// The database stops reading at the rows' end; what is left is the stream's own end.
		if _, err := io.Copy(io.Discard, c); err != nil {
			return nil, err
		}
	}
	if err := c.verify(); err != nil {
		return nil, err
	}
	if c.chunk.Format == FormatForeign && rows >= 0 {
		c.record.Digest = Digest{Rows: rows}
	}
	if rows >= 0 && rows != c.record.Digest.Rows {
		return nil, Fail(Failed, "chunk %s: the target took %d rows of %d", c.chunk.Key, rows, c.record.Digest.Rows)
	}
	return c.record, nil
}

// verify checks the rows that were read, and sees to it that there is a record.
func (c *ChunkReader) verify() error {
	if c.live != nil {
		src, ok := c.live.(interface{ Source() io.Reader })
		if !ok {
			return errors.New("the live store keeps no record")
		}
		b, ok := src.Source().(interface{ Record() Record })
		if !ok {
			return errors.New("the live store keeps no record")
		}
		rec := b.Record()
		c.record = &rec
		return nil
	}
	if c.object != nil {
		if err := c.object.verify(); err != nil {
			return err
		}
	}
	if c.chunk.Format == FormatForeign {
		c.record = &Record{Chunk: c.chunk, RawBytes: c.dig.Bytes()}
		return nil
	}
	if err := c.dig.Close(); err != nil {
		return c.r.broken(c.chunk.Key, err)
	}
	if c.record == nil {
		c.record = &Record{Chunk: c.chunk, Digest: c.dig.Digest(), RawBytes: c.dig.Bytes()}
	}
	if c.dig.Digest() != c.record.Digest || c.dig.Bytes() != c.record.RawBytes {
		return c.r.broken(c.chunk.Key, errors.New("its rows' digest is not what was written down when they were read"))
	}
	return nil
}

// Damage reads a stored chunk to its end and says whether the archive is to blame for what
// the database refused; nil where it is sound. Of a live run there is nothing to read.
func (c *ChunkReader) Damage() error {
	if c.live != nil {
		return nil
	}
	if _, err := c.Verify(-1); KindOf(err) == Integrity {
		return err
	}
	return nil
}

// Close acknowledges the chunk: its rows are committed. A second Close does nothing.
func (c *ChunkReader) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	err := c.src.Close()
	if err == nil {
		c.r.finished(c.record)
	}
	return err
}

// GiveBack returns the chunk; with again it is handed out anew, else its writer gets err. What an outage stopped comes
// before, and all else after the chunks that were not tried yet.
func (c *ChunkReader) GiveBack(err error, again bool) {
	if c.closed {
		return
	}
	c.closed = true
	if l, ok := c.live.(interface{ Abandon(error) }); ok {
		if again {
			err = errors.Join(ErrAbandoned, err)
		}
		l.Abandon(err)
		return
	}
	_ = c.src.Close()
	if again {
		c.r.giveBack(c.chunk, Passing(err))
	}
}
