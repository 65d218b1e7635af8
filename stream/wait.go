package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// WaitOptions tunes Wait.
type WaitOptions struct {
	// MAC, where it isn't empty, is the key that every object must be authenticated with.
	MAC MACKey
	// Begin is how long a dump may take to begin; 0 for ever.
	Begin time.Duration
	// Every is the pause between two looks; 1 s by default.
	Every time.Duration
	// Silence is how long a dump may be silent before it counts as dead; 1 min by default, which is
	// six of its heartbeats. It is measured on this machine's clock alone.
	Silence time.Duration
	// Refuse, where it isn't nil, is asked while no dump has begun; its error ends the waiting.
	Refuse  func(context.Context) error
	Observe Observer
}

// Wait opens the archive that a dump elsewhere writes into the store, has written or is about to
// begin. The Reader follows it. What it waits for in vain is a Failure: of kind Outage
// where no dump begins or one falls silent, NotResumable where one says that it failed.
func Wait(ctx context.Context, s Store, location string, o WaitOptions) (*Reader, error) {
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Silence <= 0 {
		o.Silence = 6 * beatEvery
	}
	p := &poller{Store: s, location: location, o: o, turn: make(chan struct{}, 1)}
	begun := time.Now()
	for first := true; ; first = false {
		state, err := p.look(ctx)
		switch {
		case state == beatSealed:
			return OpenSealed(ctx, s, location, o.MAC)
		case state == beatRunning:
			// A dump may be killed between the manifest and its last heartbeat.
			if r, err := openSealed(ctx, s, location, o.MAC); !errors.Is(err, ErrNotExist) {
				return r, err
			}
			return Follow(p, location, p, o.MAC), nil
		case !errors.Is(err, ErrNotExist):
			return nil, err
		}
		// An archive may have been copied without its heartbeat.
		if first {
			if r, err := openSealed(ctx, s, location, o.MAC); !errors.Is(err, ErrNotExist) {
				return r, err
			}
			o.Observe.Send(Event{Kind: EventPhase, Side: "restore", Text: "waiting for the dump"})
		}
		if o.Begin > 0 && time.Since(begun) > o.Begin {
			return nil, (&Failure{Kind: Outage, Object: location, Msg: fmt.Sprintf("no dump has begun there for %s", o.Begin)}).
				WithHint("is the dump running, and is this the place it writes to?")
		}
		if err := p.pause(ctx); err != nil {
			return nil, err
		}
		if o.Refuse != nil {
			if err := o.Refuse(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// poller is a store whose metadata another process is writing: Get waits for it. As an
// Announcer it goes by the heartbeat.
type poller struct {
	Store
	location string
	o        WaitOptions
	turn     chan struct{} // held by the goroutine that looks

	mu    sync.Mutex
	run   string
	last  Beat
	since time.Time // when last was seen for the first time
	when  time.Time // when the last look ended
	err   error     // ends all waiting
}

// look reads the heartbeat and returns the state it tells; the error says why there is nothing to
// wait for, or wraps ErrNotExist where there is no heartbeat yet.
func (p *poller) look(ctx context.Context) (string, error) {
	start := time.Now()
	b, err := readObject(ctx, p.Store, keyHeartbeat, maxRecord)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return "", p.err
	}
	// After a long time without a look the first one proves nothing: this process may have
	// slept, and the dump with it.
	if start.Sub(p.when) > p.o.Silence/2+3*p.o.Every {
		p.since = now
	}
	p.when = now
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, ErrNotExist) && p.last.N == 0:
		return "", err
	case err != nil && KindOf(err) != Outage && !errors.Is(err, ErrNotExist):
		p.err = fmt.Errorf("read %s: %w", keyHeartbeat, err)
		return "", p.err
	case err == nil:
		if err := p.take(b, now); err != nil {
			p.err = err
			return "", err
		}
	}
	if p.last.State == beatRunning && now.Sub(p.since) > p.o.Silence {
		f := &Failure{Kind: Outage, Object: p.location, Err: err,
			Msg: fmt.Sprintf("the dump has been silent for %s: it was killed, or is cut off from the store", now.Sub(p.since).Round(time.Second))}
		p.err = f.WithHint("look after the dump and resume it with --resume; then restore again with --resume")
		return "", p.err
	}
	return p.last.State, nil
}

// take notes a heartbeat. The caller holds p.mu.
func (p *poller) take(b []byte, now time.Time) error {
	broken := func(err error) error {
		return &Failure{Kind: Integrity, Object: p.location, Msg: keyHeartbeat, Err: err}
	}
	run, body, err := unwrap(keyHeartbeat, b, p.o.MAC)
	if err != nil {
		return broken(err)
	}
	var beat Beat
	if err := decode(body, &beat); err != nil {
		return broken(err)
	}
	switch {
	case p.run != "" && run != p.run:
		return (&Failure{Kind: NotResumable, Object: p.location, Msg: "another dump has taken the place of the one that was followed"}).
			WithHint("restore again with --resume: if that dump goes on from the one before, so does the restore; else drop and create the target database first")
	case beat.N < p.last.N || len(beat.Done) < len(p.last.Done):
		return broken(errors.New("it goes backwards"))
	}
	if p.run == "" || beat.N != p.last.N {
		p.since = now
	}
	p.run, p.last = run, beat
	if beat.State == beatFailed {
		return (&Failure{Kind: NotResumable, Object: p.location, Msg: "the dump has failed: " + beat.Reason.Display()}).
			WithHint("resume the dump with --resume, and then the restore; or dump again to an empty place, and restore to an empty database")
	}
	return nil
}

// pause waits until the next look is due.
func (p *poller) pause(ctx context.Context) error { return pause(ctx, p.o.Every) }

// await calls there until it says true, and looks at the heartbeat between the calls. One
// goroutine looks for all.
func (p *poller) await(ctx context.Context, there func() (bool, error)) error {
	for {
		ok, err := there()
		if ok || err != nil {
			return err
		}
		select {
		case p.turn <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		// Whoever had the turn before may have seen what this one waits for.
		ok, err = there()
		if !ok && err == nil {
			if err = p.pause(ctx); err == nil {
				_, err = p.look(ctx)
			}
		}
		<-p.turn
		if ok || err != nil {
			return err
		}
	}
}

// Get reads an object; metadata that isn't there yet is waited for, for as long as the dump lives.
func (p *poller) Get(ctx context.Context, key string, offset int64) (rc io.ReadCloser, err error) {
	if !strings.HasPrefix(key, keyMetadata) {
		return p.Store.Get(ctx, key, offset)
	}
	err = p.await(ctx, func() (bool, error) {
		p.mu.Lock()
		over := p.last.State != beatRunning
		p.mu.Unlock()
		rc, err = p.Store.Get(ctx, key, offset)
		if errors.Is(err, ErrNotExist) && !over {
			return false, nil
		}
		return err == nil, err
	})
	return rc, err
}

// Visible returns the key of the i-th chunk's record; see Announcer.
func (p *poller) Visible(ctx context.Context, i int) (key string, err error) {
	err = p.await(ctx, func() (bool, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case i < len(p.last.Done):
			key = recordKey(p.last.Done[i])
			return true, nil
		case p.last.State == beatSealed:
			return false, errNoMore
		}
		return false, p.err
	})
	return key, err
}
