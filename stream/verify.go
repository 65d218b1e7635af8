package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// VerifyOptions tunes Verify.
type VerifyOptions struct {
	// Jobs is how many chunks are read at a time; 1 where it is less.
	Jobs    int
	Observe Observer
}

// Verified is what Verify found.
type Verified struct {
	Objects int64 // read
	Bytes   int64 // of rows, unpacked
	Rows    int64
	// Damages are what is wrong, each a Failure of kind Integrity.
	Damages []error
}

// Err returns a Failure of kind Integrity that lists the damages, nil where there is none.
func (v *Verified) Err() error {
	if len(v.Damages) == 0 {
		return nil
	}
	things := "things"
	if len(v.Damages) == 1 {
		things = "thing"
	}
	f := Fail(Integrity, "the archive is damaged: %d %s", len(v.Damages), things)
	for i, d := range v.Damages {
		if i == 50 {
			f.Msg += fmt.Sprintf("\n  … and %d more", len(v.Damages)-i)
			break
		}
		f.Msg += "\n  " + d.Error()
	}
	return f.WithHint("do not restore it; dump again, or fetch the objects named from where they are whole")
}

// verification is one Verify at work.
type verification struct {
	r   *Reader
	o   VerifyOptions
	mu  sync.Mutex
	out Verified
}

// Verify reads every object of a complete archive, and checks all that can be checked about it. What
// keeps it from reading, such as an outage, is its error; what is wrong with the archive
// stands in the result.
func Verify(ctx context.Context, r *Reader, o VerifyOptions) (*Verified, error) {
	v := &verification{r: r, o: o}
	v.o.Observe.Send(Event{Kind: EventPhase, Side: "verify", Text: "metadata"})
	if err := v.metadata(ctx); err != nil {
		return nil, err
	}
	v.o.Observe.Send(Event{Kind: EventPhase, Side: "verify", Text: "rows"})
	if err := v.chunks(ctx); err != nil {
		return nil, err
	}
	if r.manifest != nil {
		if err := v.strangers(ctx); err != nil {
			return nil, err
		}
	}
	v.o.Observe.Send(Event{Kind: EventPhase, Side: "verify"})
	slices.SortStableFunc(v.out.Damages, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return &v.out, nil
}

// note keeps a damage and lets Verify go on; other errors end it.
func (v *verification) note(err error) error {
	if err == nil || KindOf(err) != Integrity {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out.Damages = append(v.out.Damages, err)
	return nil
}

// metadata checks header, entries, plan and index, each for itself.
func (v *verification) metadata(ctx context.Context) error {
	r := v.r
	_, err := r.Header(ctx)
	if err := v.note(err); err != nil {
		return err
	}
	if r.header.Compression == "" {
		r.header = r.manifest.Contents.Header // damaged; the chunks can be read all the same
	}
	entries, err := r.Entries(ctx)
	if err := v.note(err); err != nil {
		return err
	}
	if r.foreign != nil {
		v.out.Objects++
		return nil
	}
	if entries == nil {
		r.entries = r.manifest.data()
	}
	_, err = r.Plan(ctx)
	if err := v.note(err); err != nil {
		return err
	}
	v.out.Objects += int64(len(r.manifest.Objects)) + 1
	for i := range r.manifest.Chunks {
		if err := v.note(v.record(ctx, &r.manifest.Chunks[i])); err != nil {
			return err
		}
	}
	return nil
}

// data is what checkEntries returns for the entries that the manifest has tables of.
func (m *Manifest) data() map[DumpID]bool {
	data := map[DumpID]bool{}
	for i := range m.Contents.Tables {
		data[m.Contents.Tables[i].ID] = m.Contents.Tables[i].Table.LargeObjects
	}
	return data
}

// record checks the record that stands beside a chunk, which a restore of a sealed archive does not read.
func (v *verification) record(ctx context.Context, want *Record) error {
	r := v.r
	key := recordKey(want.ID)
	b, err := readObject(ctx, r.store, key, maxRecord)
	if errors.Is(err, ErrNotExist) {
		return r.broken(key, errors.New("it is missing"))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	run, body, err := unwrap(key, b, r.mac)
	if err != nil {
		return r.broken(key, err)
	}
	var rec Record
	if err := decode(body, &rec); err != nil {
		return r.broken(key, err)
	}
	switch {
	case run != r.run:
		return r.broken(key, errors.New("it is of another run than the rest of the archive"))
	case !rec.equal(want):
		return r.broken(key, errors.New("the record is not the one that the manifest has"))
	}
	v.mu.Lock()
	v.out.Objects++
	v.mu.Unlock()
	return nil
}

// chunks reads all rows.
func (v *verification) chunks(ctx context.Context) error {
	var plan []Chunk
	if v.r.foreign != nil {
		plan = v.r.foreign.Plan
	} else {
		for i := range v.r.manifest.Chunks {
			plan = append(plan, v.r.manifest.Chunks[i].Chunk)
		}
	}
	var bytes int64
	for _, c := range plan {
		bytes += c.Bytes
	}
	v.o.Observe.Send(Event{Kind: EventPlan, Side: "verify", What: WorkChunk, Count: len(plan), Bytes: bytes})
	workers := NewWorkers(v.o.Jobs)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(v.o.Jobs, 1))
	for _, c := range plan {
		g.Go(func() error {
			ctx, free := workers.Take(ctx)
			defer free()
			return v.note(v.chunk(ctx, c))
		})
	}
	return g.Wait()
}

func (v *verification) chunk(ctx context.Context, c Chunk) error {
	job := v.o.Observe.Begin(ctx, Event{Side: "verify", What: WorkChunk, Object: c.Key, Entry: c.Table, Part: c.N, Parts: c.Of, Planned: c.Bytes})
	defer job.End()
	rec, err := v.rows(ctx, c, job)
	if err != nil {
		// Where the object itself is damaged, that says more than what its unpacking came to.
		if damage := v.wholeObjects(ctx, c); damage != nil {
			return damage
		}
		return err
	}
	v.mu.Lock()
	v.out.Rows += rec.Digest.Rows
	v.out.Bytes += rec.RawBytes
	v.out.Objects += int64(max(len(rec.Objects), 1))
	v.mu.Unlock()
	job.Done(rec.Digest.Rows, rec.RawBytes)
	return nil
}

func (v *verification) rows(ctx context.Context, c Chunk, job *Job) (*Record, error) {
	cr, err := v.r.OpenChunk(ctx, c)
	if err != nil {
		return nil, err
	}
	defer cr.GiveBack(nil, false)
	if _, err := io.Copy(job.Writer(io.Discard), cr); err != nil {
		return nil, err
	}
	return cr.Verify(-1)
}

// wholeObjects checks the objects of a chunk without unpacking them.
func (v *verification) wholeObjects(ctx context.Context, c Chunk) error {
	rec := v.r.records[c.Key]
	if rec == nil {
		return nil
	}
	for _, o := range rec.Objects {
		if err := v.r.checkObject(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// strangers finds objects that don't belong to the archive.
func (v *verification) strangers(ctx context.Context) error {
	m := v.r.manifest
	known := map[string]bool{keyManifest: true, keyHeartbeat: true}
	for _, o := range m.Objects {
		known[o.Key] = true
	}
	for i := range m.Chunks {
		known[recordKey(m.Chunks[i].ID)] = true
		for _, o := range m.Chunks[i].Objects {
			known[o.Key] = true
		}
	}
	list, err := v.r.store.List(ctx, "")
	if err != nil {
		return err
	}
	for _, o := range list {
		if !known[o.Key] {
			_ = v.note(v.r.broken(o.Key, errors.New("it does not belong to the archive: the manifest does not list it")))
		}
	}
	b, err := readObject(ctx, v.r.store, keyHeartbeat, maxRecord)
	if errors.Is(err, ErrNotExist) {
		return nil // of no use once the archive is sealed
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", keyHeartbeat, err)
	}
	run, _, err := unwrap(keyHeartbeat, b, v.r.mac)
	if err == nil && run != v.r.run {
		err = errors.New("it is of another run than the rest of the archive")
	}
	if err != nil {
		return v.note(v.r.broken(keyHeartbeat, err))
	}
	return nil
}
