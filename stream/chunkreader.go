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
	rec, err := r.record(ctx, c)
	if err != nil {
		return nil, err
	}
	cr.record = rec
	if c.Format == FormatBlobs {
		cr.src = &blobReader{ctx: ctx, r: r, objects: rec.Objects}
		return cr, nil
	}
	o, err := r.openObject(ctx, rec.Objects[0])
	if err != nil {
		return nil, err
	}
	cr.src, cr.object = o, o
	if c.Format == FormatText {
		cr.src = &trailerReader{r: o}
	}
	return cr, nil
}

// record returns the chunk's record: the manifest's, or the one beside the chunk.
func (r *Reader) record(ctx context.Context, c Chunk) (*Record, error) {
	if r.manifest != nil {
		if rec, ok := r.records[c.Key]; ok {
			return rec, nil
		}
		return nil, r.broken(c.Key, errors.New("the manifest does not list it"))
	}
	key := recordKey(c)
	var e envelope[Record]
	if err := r.body(ctx, key, &e, func() string { return e.Run }); err != nil {
		return nil, err
	}
	if err := r.checkRecord(e.Body); err != nil {
		return nil, r.broken(key, err)
	}
	return &e.Body, nil
}

// objectReader reads a compressed object and checks its size and hash on the way.
type objectReader struct {
	io.Reader // decompressed
	raw       io.ReadCloser
	z         io.ReadCloser
	want      Object
	n         int64
	h         hash.Hash
	ended     bool
	reader    *Reader
}

func (r *Reader) openObject(ctx context.Context, o Object) (*objectReader, error) {
	raw, err := r.store.Get(ctx, o.Key, 0)
	if err != nil {
		if errors.Is(err, ErrNotExist) {
			return nil, r.broken(o.Key, err)
		}
		return nil, fmt.Errorf("read %s: %w", o.Key, err)
	}
	or := &objectReader{raw: raw, want: o, h: sha256.New(), reader: r}
	if or.z, err = r.header.Compression.reader(rawReader{or}); err != nil {
		_ = raw.Close()
		return nil, r.broken(o.Key, err)
	}
	or.Reader = or.z
	return or, nil
}

// rawReader counts and hashes the object's own bytes.
type rawReader struct{ o *objectReader }

func (rr rawReader) Read(p []byte) (int, error) {
	o := rr.o
	n, err := o.raw.Read(p)
	o.n += int64(n)
	_, _ = o.h.Write(p[:n])
	if o.n > o.want.Size {
		return n, o.reader.broken(o.want.Key, fmt.Errorf("it is longer than the %d bytes of the manifest", o.want.Size))
	}
	return n, err
}

// Read yields decompressed bytes; a decompressor's complaint means a damaged object.
func (o *objectReader) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		o.ended = true
	} else if err != nil && KindOf(err) == Failed && !errors.Is(err, context.Canceled) {
		err = o.reader.broken(o.want.Key, err)
	}
	return n, err
}

// verify checks the whole object, after its end.
func (o *objectReader) verify() error {
	if _, err := io.Copy(io.Discard, rawReader{o}); err != nil {
		return err
	}
	if o.n != o.want.Size {
		return o.reader.broken(o.want.Key, fmt.Errorf("it has %d bytes instead of %d", o.n, o.want.Size))
	}
	var h Hash
	o.h.Sum(h[:0])
	if h != o.want.SHA256 {
		return o.reader.broken(o.want.Key, errors.New("its SHA-256 is not what the manifest says"))
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
				t.err = t.r.reader.broken(t.r.want.Key, fmt.Errorf("it lacks the end mark: %w", io.ErrUnexpectedEOF))
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
}

// Read yields rows.
func (c *ChunkReader) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	if c.live == nil && n > 0 {
		if _, derr := c.dig.Write(p[:n]); derr != nil {
			return 0, c.r.broken(c.chunk.Key, derr)
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
// digested again.
func (c *ChunkReader) Verify(rows int64) (*Record, error) {
	if !c.eof {
		// The database stops reading at the rows' end; what is left is the stream's own end.
		if _, err := io.Copy(io.Discard, c); err != nil {
			return nil, err
		}
	}
	if c.live != nil {
		src, ok := c.live.(interface{ Source() io.Reader })
		if !ok {
			return nil, errors.New("the live store keeps no record")
		}
		b, ok := src.Source().(interface{ Record() Record })
		if !ok {
			return nil, errors.New("the live store keeps no record")
		}
		rec := b.Record()
		c.record = &rec
	} else {
		if c.object != nil {
			if err := c.object.verify(); err != nil {
				return nil, err
			}
		}
		if err := c.dig.Close(); err != nil {
			return nil, c.r.broken(c.chunk.Key, err)
		}
		if c.dig.Digest() != c.record.Digest {
			return nil, c.r.broken(c.chunk.Key, errors.New("its rows' digest is not what the manifest says"))
		}
	}
	if rows >= 0 && rows != c.record.Digest.Rows {
		return nil, Fail(Failed, "chunk %s: the target took %d rows of %d", c.chunk.Key, rows, c.record.Digest.Rows)
	}
	return c.record, nil
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

// Close acknowledges the chunk: its rows are committed.
func (c *ChunkReader) Close() error {
	err := c.src.Close()
	if err == nil {
		c.r.finished()
	}
	return err
}

// GiveBack returns the chunk; with again it is handed out anew, else its writer gets err.
func (c *ChunkReader) GiveBack(err error, again bool) {
	if l, ok := c.live.(interface{ Abandon(error) }); ok {
		if again {
			err = errors.Join(ErrAbandoned, err)
		}
		l.Abandon(err)
		return
	}
	_ = c.src.Close()
	if again {
		c.r.again(c.chunk)
	}
}
