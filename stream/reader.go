package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
)

// Announcer is the ability of a store that writer and reader share in one
// process to tell which objects have become visible, in order.
type Announcer interface {
	// Visible returns the i-th key, from 0, that became visible; it waits until there is one.
	Visible(ctx context.Context, i int) (string, error)
}

// Reader reads an archive: a sealed one, or one that is still being written in
// this process, which it follows.
type Reader struct {
	store    Store
	location string
	follow   Announcer // nil for a sealed archive
	manifest *Manifest

	header Header

	records map[string]*Record // a sealed archive's, by chunk key

	mu     sync.Mutex
	plan   map[string]Chunk // by the key whose appearance makes the chunk readable
	queue  []Chunk          // chunks to hand out: a sealed archive's, and those given back
	left   int              // chunks not yet finished
	done   chan struct{}
	cursor int // the next announcement to read
	handed int // chunks handed out upon their announcement
	wake   chan struct{}
}

// OpenSealed opens a finished archive. What isn't one is a Failure of kind
// Integrity.
func OpenSealed(ctx context.Context, s Store, location string) (*Reader, error) {
	r := &Reader{store: s, location: location, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	b, err := r.slurp(ctx, keyManifest)
	if errors.Is(err, ErrNotExist) {
		return nil, r.notAnArchive(ctx)
	}
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := decodeStrict(b, &m); err != nil {
		return nil, r.broken(keyManifest, err)
	}
	if m.Format != FormatVersion {
		return nil, r.broken(keyManifest, fmt.Errorf("its format is version %d, this pgmove reads %d", m.Format, FormatVersion))
	}
	r.manifest = &m
	r.records = make(map[string]*Record, len(m.Chunks))
	for i, c := range m.Chunks {
		if err := r.checkRecord(c); err != nil {
			return nil, r.broken(keyManifest, err)
		}
		r.records[c.Key] = &m.Chunks[i]
		r.queue = append(r.queue, c.Chunk)
	}
	r.left = len(r.queue)
	r.finishIfDone()
	return r, nil
}

func (r *Reader) notAnArchive(ctx context.Context) error {
	f := &Failure{Kind: Integrity, Object: r.location, Msg: "not an archive: there is no " + keyManifest}
	if l, err := r.store.List(ctx, ""); err == nil {
		switch {
		case len(l) == 0:
			f.Msg = "not an archive: nothing is there"
		case hasKey(l, keyHeader):
			f.Msg = "the archive is not finished: it has no manifest"
			f.Hint = "wait until its dump has ended, or dump again"
		case hasKey(l, "toc.dat"):
			f.Msg = "an archive of pg_dump without pgmove's manifest"
			f.Hint = "this version restores archives written by pgmove; use pg_restore for this one"
		}
	}
	return f
}

func hasKey(l []ObjectInfo, key string) bool {
	for _, o := range l {
		if o.Key == key {
			return true
		}
	}
	return false
}

// Follow opens an archive that a Writer in this process is writing into the same store.
func Follow(s Store, a Announcer) *Reader {
	return &Reader{store: s, follow: a, done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

func (r *Reader) broken(object string, err error) error {
	return &Failure{Kind: Integrity, Object: r.location, Msg: object, Err: err,
		Hint: "the archive is damaged or was changed after it was written: dump again"}
}

// checkRecord bounds what the manifest says before anything is done with it.
func (r *Reader) checkRecord(c Record) error {
	for _, o := range append([]Object{{Key: c.Key}}, c.Objects...) {
		if err := CheckKey(o.Key); err != nil {
			return err
		}
		if o.Size < 0 {
			return fmt.Errorf("%s: a size of %d", o.Key, o.Size)
		}
	}
	if c.Format != FormatBlobs && len(c.Objects) != 1 {
		return fmt.Errorf("chunk %s: %d objects instead of one", c.Key, len(c.Objects))
	}
	return nil
}

// slurp reads a metadata object whole.
func (r *Reader) slurp(ctx context.Context, key string) ([]byte, error) {
	rc, err := r.store.Get(ctx, key, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	b, err := io.ReadAll(io.LimitReader(rc, maxMetadata+1))
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	if err == nil && len(b) > maxMetadata {
		err = r.broken(key, fmt.Errorf("larger than %d bytes", maxMetadata))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b, nil
}

// verified reads a metadata object and checks it against the manifest, where there is one.
func (r *Reader) verified(ctx context.Context, key string) ([]byte, error) {
	b, err := r.slurp(ctx, key)
	if err != nil || r.manifest == nil {
		if errors.Is(err, ErrNotExist) {
			return nil, r.broken(key, err)
		}
		return b, err
	}
	for _, o := range r.manifest.Objects {
		if o.Key != key {
			continue
		}
		if int64(len(b)) != o.Size || sha256.Sum256(b) != o.SHA256 {
			return nil, r.broken(key, errors.New("its size or SHA-256 is not what the manifest says"))
		}
		return b, nil
	}
	return nil, r.broken(key, errors.New("the manifest does not list it"))
}

// Header returns the archive's header, once it is there.
func (r *Reader) Header(ctx context.Context) (*Header, error) {
	b, err := r.verified(ctx, keyHeader)
	if err != nil {
		return nil, err
	}
	if err := decodeStrict(b, &r.header); err != nil {
		return nil, r.broken(keyHeader, err)
	}
	if r.manifest != nil && r.header.Run != r.manifest.Run {
		return nil, r.broken(keyHeader, errors.New("it is of another run than the manifest"))
	}
	if err := r.header.Compression.Valid(); err != nil {
		return nil, r.broken(keyHeader, err)
	}
	return &r.header, nil
}

// Entries returns the archive's entries, once they are there. Header comes first.
func (r *Reader) Entries(ctx context.Context) ([]Entry, error) {
	var e envelope[[]Entry]
	if err := r.body(ctx, keyEntries, &e, func() string { return e.Run }); err != nil {
		return nil, err
	}
	return e.Body, nil
}

func (r *Reader) body(ctx context.Context, key string, v any, run func() string) error {
	b, err := r.verified(ctx, key)
	if err != nil {
		return err
	}
	if err := decodeStrict(b, v); err != nil {
		return r.broken(key, err)
	}
	if run() != r.header.Run {
		return r.broken(key, errors.New("it is of another run than the header"))
	}
	return nil
}

// Plan returns all chunks of the archive, once the plan is there. Entries come first.
func (r *Reader) Plan(ctx context.Context) ([]Chunk, error) {
	var e envelope[[]Chunk]
	if err := r.body(ctx, keyPlan, &e, func() string { return e.Run }); err != nil {
		return nil, err
	}
	for _, c := range e.Body {
		if err := CheckKey(c.Key); err != nil {
			return nil, r.broken(keyPlan, err)
		}
	}
	if r.manifest != nil {
		if len(e.Body) != len(r.records) {
			return nil, r.broken(keyPlan, fmt.Errorf("it has %d chunks, the manifest %d", len(e.Body), len(r.records)))
		}
		return e.Body, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan = make(map[string]Chunk, len(e.Body))
	for _, c := range e.Body {
		if r.header.Live {
			r.plan[c.Key] = c
		} else {
			r.plan[recordKey(c)] = c
		}
	}
	r.left = len(e.Body)
	r.finishIfDone()
	return e.Body, nil
}

func (r *Reader) finishIfDone() {
	if r.left == 0 {
		close(r.done)
	}
}

// Manifest returns a sealed archive's manifest, nil for one that is followed.
func (r *Reader) Manifest() *Manifest { return r.manifest }

// Next returns the next chunk that can be opened, in the order in which they
// become available; a chunk given back is handed out again. It returns io.EOF
// when all chunks of the plan are finished.
func (r *Reader) Next(ctx context.Context) (Chunk, error) {
	for {
		r.mu.Lock()
		if r.left == 0 {
			r.mu.Unlock()
			return Chunk{}, io.EOF
		}
		// A chunk that was given back comes after all others: it may be waiting for them.
		announced := r.follow == nil || !r.header.Live && r.handed == len(r.plan)
		if announced && len(r.queue) > 0 {
			c := r.queue[0]
			r.queue = r.queue[1:]
			r.mu.Unlock()
			return c, nil
		}
		cursor := r.cursor
		if !announced {
			r.cursor++
		}
		r.mu.Unlock()
		if announced {
			// All that is left is in other goroutines' hands; one of them may give it back.
			select {
			case <-r.done:
			case <-r.wake:
			case <-ctx.Done():
				return Chunk{}, context.Cause(ctx)
			}
			continue
		}
		key, err := r.visible(ctx, cursor)
		if errors.Is(err, io.EOF) {
			return Chunk{}, io.EOF
		}
		if err != nil {
			return Chunk{}, err
		}
		r.mu.Lock()
		c, ok := r.plan[key]
		if ok {
			r.handed++
		}
		r.mu.Unlock()
		if ok {
			return c, nil
		}
	}
}

// visible waits for the announcement with the number, or until all is finished.
func (r *Reader) visible(ctx context.Context, i int) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-r.done:
			cancel(io.EOF)
		case <-stop:
		}
	}()
	key, err := r.follow.Visible(ctx, i)
	if err != nil && errors.Is(context.Cause(ctx), io.EOF) {
		return "", io.EOF
	}
	return key, err
}

// finished notes that a chunk is taken for good.
func (r *Reader) finished() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left--
	r.finishIfDone()
}

// again hands a chunk out once more.
func (r *Reader) again(c Chunk) {
	if r.header.Live {
		return // its writer offers it again
	}
	r.mu.Lock()
	r.queue = append(r.queue, c)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

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
