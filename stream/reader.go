package stream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Announcer tells which objects of an archive that is still being written have become
// visible, in order.
type Announcer interface {
	// Visible returns the i-th key, from 0, that became visible; it waits until there is one.
	Visible(ctx context.Context, i int) (string, error)
}

// Reader reads an archive: a sealed one, one that is still being written, which it
// follows, or one that another tool wrote.
type Reader struct {
	store    Store
	location string
	mac      MACKey
	follow   Announcer // nil for an archive that is complete
	manifest *Manifest
	run      string   // the manifest's
	foreign  *Foreign // nil for an archive of pgmove's own

	header  Header
	entries map[DumpID]bool // the data entries, true for large objects'

	records map[string]*Record // a sealed archive's, by chunk key

	mu      sync.Mutex
	seen    map[string]Object // a followed archive's metadata, as it was read
	used    map[string]Record // a followed archive's records, by chunk key
	plan    map[string]Chunk  // by the key whose appearance makes the chunk readable
	out     map[string]bool   // keys of plan that were handed out
	queue   []Chunk           // chunks to hand out: a complete archive's, and those given back
	left    int               // chunks not yet finished
	done    chan struct{}
	cursor  int               // the next announcement to read
	asking  int               // goroutines that wait for an announcement
	handed  int               // chunks handed out upon their announcement
	wake    chan struct{}     // closed, and made anew, when a chunk was given back
	skipped map[string]Digest // by chunk key: what Skip was told
	noData  bool              // see NoData
}

func newReader(s Store, location string) *Reader {
	return &Reader{store: s, location: location, done: make(chan struct{}), wake: make(chan struct{}),
		seen: map[string]Object{}, used: map[string]Record{}, out: map[string]bool{}, skipped: map[string]Digest{}}
}

// OpenSealed opens a finished archive. What isn't one is a Failure of kind
// Integrity. With a key, so is what doesn't bear its authentication code.
func OpenSealed(ctx context.Context, s Store, location string, mac MACKey) (*Reader, error) {
	r, err := openSealed(ctx, s, location, mac)
	if errors.Is(err, ErrNotExist) {
		return nil, r.notAnArchive(ctx)
	}
	return r, err
}

// openSealed is OpenSealed whose error wraps ErrNotExist where there is no manifest.
func openSealed(ctx context.Context, s Store, location string, mac MACKey) (*Reader, error) {
	r := newReader(s, location)
	r.mac = mac
	b, err := readObject(ctx, s, keyManifest, maxMetadata)
	if err != nil {
		return r, fmt.Errorf("read %s: %w", keyManifest, err)
	}
	if err := r.takeManifest(b); err != nil {
		return nil, err
	}
	for _, c := range r.manifest.Chunks {
		r.queue = append(r.queue, c.Chunk)
	}
	r.left = len(r.queue)
	r.finishIfDone()
	return r, nil
}

// takeManifest checks and parses a manifest.
func (r *Reader) takeManifest(b []byte) error {
	run, body, err := unwrap(keyManifest, b, r.mac)
	if err != nil {
		return r.broken(keyManifest, err)
	}
	var m Manifest
	if err := decode(body, &m); err != nil {
		return r.broken(keyManifest, err)
	}
	if err := m.check(run); err != nil {
		return r.broken(keyManifest, err)
	}
	r.manifest, r.run = &m, run
	r.records = make(map[string]*Record, len(m.Chunks))
	for i := range m.Chunks {
		r.records[m.Chunks[i].Key] = &m.Chunks[i]
	}
	return nil
}

func (r *Reader) notAnArchive(ctx context.Context) error {
	f := &Failure{Kind: Integrity, Object: r.location, Msg: "not an archive: there is no " + keyManifest}
	if l, err := r.store.List(ctx, ""); err == nil {
		switch {
		case len(l) == 0:
			f.Msg = "not an archive: nothing is there"
		case hasKey(l, keyHeader), hasKey(l, keyHeartbeat):
			f.Msg = "the archive is not finished: it has no manifest"
			f.Hint = "wait until its dump has ended, or restore with --wait while it goes on; if it is dead, dump again with --resume"
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

// Follow opens an archive that a Writer is writing into the same store, or will. Get of the store
// waits for what isn't there yet; a tells what is.
func Follow(s Store, location string, a Announcer, mac MACKey) *Reader {
	r := newReader(s, location)
	r.follow, r.mac = a, mac
	return r
}

func (r *Reader) broken(object string, err error) error {
	return &Failure{Kind: Integrity, Object: r.location, Msg: object, Err: err,
		Hint: "the archive is damaged or was changed after it was written: dump again"}
}

var errMissing = errors.New("it is missing")

// body reads an object under pgmove/, checks it, and returns its run and body.
func (r *Reader) body(ctx context.Context, key string, limit int64) (string, []byte, error) {
	b, err := readObject(ctx, r.store, key, limit)
	switch {
	case errors.Is(err, ErrNotExist):
		return "", nil, r.broken(key, errMissing)
	case err != nil:
		return "", nil, fmt.Errorf("read %s: %w", key, err)
	}
	o := Object{Key: key, Size: int64(len(b)), SHA256: sha256.Sum256(b)}
	if r.manifest != nil {
		if err := r.manifest.object(o); err != nil {
			return "", nil, r.broken(key, err)
		}
	}
	run, body, err := unwrap(key, b, r.mac)
	if err != nil {
		return "", nil, r.broken(key, err)
	}
	if want := r.runID(); want != "" && run != want {
		return "", nil, r.broken(key, errors.New("it is of another run than the rest of the archive"))
	}
	r.mu.Lock()
	r.seen[key] = o
	r.mu.Unlock()
	return run, body, nil
}

// runID is the run that all objects must be of, "" while none is known.
func (r *Reader) runID() string {
	if r.manifest != nil {
		return r.run
	}
	return r.header.Run
}

// Header returns the archive's header, once it is there.
func (r *Reader) Header(ctx context.Context) (*Header, error) {
	if r.foreign != nil {
		return &r.header, nil
	}
	run, b, err := r.body(ctx, keyHeader, maxRecord)
	if err != nil {
		return nil, err
	}
	var h Header
	if err := decode(b, &h); err != nil {
		return nil, r.broken(keyHeader, err)
	}
	if h.Run != run || h.Format != FormatVersion {
		return nil, r.broken(keyHeader, errors.New("it contradicts its own envelope"))
	}
	if err := h.Compression.Valid(); err != nil {
		return nil, r.broken(keyHeader, err)
	}
	r.header = h
	return &r.header, nil
}

// Entries returns the archive's entries, once they are there. Header comes first.
func (r *Reader) Entries(ctx context.Context) ([]Entry, error) {
	if r.foreign != nil {
		return r.foreign.Entries, nil
	}
	_, b, err := r.body(ctx, keyEntries, maxMetadata)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	if err := decode(b, &entries); err != nil {
		return nil, r.broken(keyEntries, err)
	}
	if r.header.Live {
		// Of a direct run's store we are the only reader, and it keeps this one in memory.
		if err := r.store.Delete(ctx, keyEntries); err != nil {
			return nil, err
		}
	}
	if r.entries, err = checkEntries(entries); err != nil {
		return nil, r.broken(keyEntries, err)
	}
	return entries, nil
}

// Plan returns all chunks of the archive, once the plan is there. Entries come first. Of a
// sealed archive it also checks the index that stock tools read.
func (r *Reader) Plan(ctx context.Context) ([]Chunk, error) {
	if r.foreign != nil {
		return r.foreign.Plan, nil
	}
	_, b, err := r.body(ctx, keyPlan, maxMetadata)
	if err != nil {
		return nil, err
	}
	var plan []Chunk
	if err := decode(b, &plan); err != nil {
		return nil, r.broken(keyPlan, err)
	}
	if err := checkPlan(plan, r.entries); err != nil {
		return nil, r.broken(keyPlan, err)
	}
	if r.manifest != nil {
		if err := r.manifest.matches(plan, r.records); err != nil {
			return nil, r.broken(keyPlan, err)
		}
		return plan, r.checkIndex(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan = make(map[string]Chunk, len(plan))
	for _, c := range plan {
		if r.header.Live {
			r.plan[c.Key] = c
		} else {
			r.plan[recordKey(c.ID)] = c
		}
	}
	r.left = len(plan)
	r.finishIfDone()
	return plan, nil
}

// checkIndex checks the objects of a sealed archive that pgmove itself has no need of.
func (r *Reader) checkIndex(ctx context.Context) error {
	for _, o := range r.manifest.Objects {
		switch o.Key {
		case keyHeader, keyEntries, keyPlan:
			continue
		}
		if err := r.checkObject(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// checkObject reads an object and compares its size and hash.
func (r *Reader) checkObject(ctx context.Context, o Object) error {
	rc, err := r.store.Get(ctx, o.Key, 0)
	if errors.Is(err, ErrNotExist) {
		return r.broken(o.Key, errors.New("it is missing"))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	defer func() { _ = rc.Close() }()
	m := newMeter(io.Discard)
	if _, err := io.Copy(m, io.LimitReader(rc, o.Size+1)); err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	if err := r.manifest.same(o, m.object(o.Key)); err != nil {
		return r.broken(o.Key, err)
	}
	return nil
}

// Confirm waits until the archive is sealed, and checks that what was followed is what was
// sealed. There is nothing to confirm of an archive that was complete, nor of a live one.
func (r *Reader) Confirm(ctx context.Context) error {
	if r.follow == nil || r.header.Live {
		return nil
	}
	b, err := readObject(ctx, r.store, keyManifest, maxMetadata)
	if err != nil {
		return fmt.Errorf("read %s: %w", keyManifest, err)
	}
	if err := r.takeManifest(b); err != nil {
		return err
	}
	if r.run != r.header.Run {
		return r.broken(keyManifest, errors.New("it is of another run than the rest of the archive"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range []string{keyHeader, keyEntries, keyPlan, keyRoles} {
		if _, read := r.seen[key]; key == keyRoles && !read {
			continue
		}
		if err := r.manifest.object(r.seen[key]); err != nil {
			return r.broken(key, fmt.Errorf("it was changed while it was followed: %w", err))
		}
	}
	for key, rec := range r.used {
		if got := r.records[key]; got == nil || !got.equal(&rec) {
			return r.broken(recordKey(rec.ID), errors.New("the record is not the one that the manifest has"))
		}
	}
	for key, d := range r.skipped {
		if got := r.records[key]; got == nil || got.Digest != d {
			return r.broken(key, errSkipped)
		}
	}
	if n := len(r.used) + len(r.skipped); n != len(r.records) && !r.noData {
		return r.broken(keyManifest, fmt.Errorf("it has %d chunks, the dump that was followed %d", len(r.records), n))
	}
	return nil
}

// Manifest returns a sealed archive's manifest, nil for one that is followed until
// Confirm, and nil for one that another tool wrote.
func (r *Reader) Manifest() *Manifest { return r.manifest }
