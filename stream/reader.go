package stream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
		for _, c := range e.Body {
			if rec := r.records[c.Key]; rec == nil || rec.Chunk != c {
				return nil, r.broken(keyPlan, fmt.Errorf("chunk %s is not as the manifest has it", c.Key))
			}
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
