package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Resume has the Writer go on with what an earlier dump left. It comes before Claim.
func (w *Writer) Resume(p *Prior) {
	w.prior = p
	if !w.header.Live {
		w.header.Compression = p.Header.Compression
	}
}

// GoOn takes the place of Begin where the archive stays what it was begun as: header, entries and plan
// are not written again.
func (w *Writer) GoOn() (Header, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.header = w.prior.Header
	w.objects = append(w.objects, w.prior.Objects...)
	return w.header, nil
}

// Keep takes over the records of chunks that an earlier dump finished; written says that they are stored
// under this run's UUID already.
func (w *Writer) Keep(ctx context.Context, kept []Record, written bool) error {
	w.mu.Lock()
	w.records = append(w.records, kept...)
	w.mu.Unlock()
	if w.header.Live {
		return nil
	}
	listed := map[DumpID]bool{}
	if written {
		for _, id := range w.prior.Done {
			listed[id] = true
		}
	}
	a, announces := w.store.(interface{ Announce(string) })
	for i := range kept {
		if announces && written {
			a.Announce(recordKey(kept[i].ID))
		}
		if !written {
			if err := w.putRecord(ctx, &kept[i]); err != nil {
				return err
			}
		}
		if !listed[kept[i].ID] {
			w.beat.chunk(kept[i].ID)
		}
	}
	return nil
}

func (w *Writer) putRecord(ctx context.Context, rec *Record) error {
	key := recordKey(rec.ID)
	b, err := wrap(key, w.header.Run, w.mac, rec)
	if err != nil {
		return err
	}
	if err := w.store.Put(ctx, key, bytes.NewReader(b)); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// ReadPrior returns what an earlier dump left in a store, to go on from: nil where it left nothing that can
// be gone on from, and the Reader of the archive where that is sealed. Unless alone is true, which says that
// no other process writes there, it watches the heartbeat for a while first: while that goes on the
// error is of kind Busy.
func ReadPrior(ctx context.Context, s Store, location string, mac MACKey, alone bool) (*Prior, *Reader, error) {
	r, err := openSealed(ctx, s, location, mac)
	if err == nil {
		return nil, r, nil
	}
	if !errors.Is(err, ErrNotExist) {
		return nil, nil, err
	}
	r = newReader(s, location)
	r.mac = mac
	p := &Prior{}
	if err := r.lastBeat(ctx, p, alone); err != nil {
		return nil, nil, err
	}
	h, err := r.Header(ctx)
	if errors.Is(err, errMissing) {
		return nil, nil, nil // it ended before it began to write
	}
	if err != nil {
		return nil, nil, err
	}
	p.Header = *h
	if err := r.priorPlan(ctx, p); err != nil || p.Plan == nil {
		return nil, nil, err
	}
	return p, nil, r.priorRecords(ctx, p)
}

// lastBeat reads the last heartbeat, and sees that there is no next one.
func (r *Reader) lastBeat(ctx context.Context, p *Prior, alone bool) error {
	var last Beat
	for watched := false; ; watched = true {
		b, err := readObject(ctx, r.store, keyHeartbeat, maxRecord)
		if errors.Is(err, ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", keyHeartbeat, err)
		}
		_, body, err := unwrap(keyHeartbeat, b, r.mac)
		if err != nil {
			return r.broken(keyHeartbeat, err)
		}
		before := last
		last = Beat{}
		if err := decode(body, &last); err != nil {
			return r.broken(keyHeartbeat, err)
		}
		p.Beats, p.Done = last.N, last.Done
		switch {
		case watched && (last.N != before.N || last.Writer != before.Writer):
			return (&Failure{Kind: Busy, Object: r.location, Msg: "another dump is writing there"}).
				WithHint("wait until that one has ended, or end it")
		case watched, alone, last.State != beatRunning:
			return nil
		}
		select {
		case <-time.After(beatEvery + beatEvery/2):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// priorPlan reads entries and plan, which may be of a run that the header's goes on from: then the dump ended while it was
// writing them anew. Without one of them there is nothing to go on from.
func (r *Reader) priorPlan(ctx context.Context, p *Prior) error {
	var entries []Entry
	for _, o := range []struct {
		key string
		v   any
	}{{keyHeader, nil}, {keyRoles, nil}, {keyEntries, &entries}, {keyPlan, &p.Plan}} {
		if o.key == keyRoles && !p.Header.Roles {
			continue
		}
		b, err := readObject(ctx, r.store, o.key, maxMetadata)
		if errors.Is(err, ErrNotExist) {
			p.Plan = nil
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", o.key, err)
		}
		run, body, err := unwrap(o.key, b, r.mac)
		if err != nil {
			return r.broken(o.key, err)
		}
		if _, ok := p.Header.Since(run); !ok {
			return r.broken(o.key, errors.New("it is of another run than the rest of the archive"))
		}
		p.Torn = p.Torn || run != p.Header.Run
		p.Objects = append(p.Objects, Object{Key: o.key, Size: int64(len(b)), SHA256: sha256.Sum256(b)})
		if o.v == nil {
			continue
		}
		if err := decode(body, o.v); err != nil {
			return r.broken(o.key, err)
		}
	}
	var err error
	if r.entries, err = checkEntries(entries); err != nil {
		return r.broken(keyEntries, err)
	}
	if err := checkPlan(p.Plan, r.entries); err != nil {
		return r.broken(keyPlan, err)
	}
	p.Prints = Prints(entries)
	return nil
}

// priorRecords reads the records of finished chunks. Of a chunk whose record or objects are missing, or of another run, none
// is returned.
func (r *Reader) priorRecords(ctx context.Context, p *Prior) error {
	all, err := r.store.List(ctx, "")
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(all))
	for _, o := range all {
		there[o.Key] = true
	}
	for _, c := range p.Plan {
		key := recordKey(c.ID)
		if !there[key] {
			continue
		}
		b, err := readObject(ctx, r.store, key, maxRecord)
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
		if err := rec.check(); err != nil {
			return r.broken(key, err)
		}
		whole := run == p.Header.Run && rec.Chunk == c
		for i := range rec.Objects {
			whole = whole && there[rec.Objects[i].Key]
		}
		if whole {
			p.Records = append(p.Records, rec)
		}
	}
	return nil
}
