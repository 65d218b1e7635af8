package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// A dump tells that it goes on by an object that it writes again and again: the heartbeat. It
// counts up, and lists the chunks that are complete, so that a reader on the other side
// asks for one object and lists none.

// When a heartbeat is written: at the latest after beatEvery, and sooner when chunks
// became complete, but never sooner than beatGap after the last. Variables for tests.
var (
	beatEvery = 10 * time.Second
	beatGap   = time.Second
)

// beatListed is how many listed chunks lengthen the gap by another second: what grows is not written
// every second.
const beatListed = 10_000

// Beat is the heartbeat's body.
type Beat struct {
	// N counts the heartbeats of a run.
	N int64 `json:"n"`
	// Writer tells the processes of one run from each other.
	Writer string `json:"writer,omitempty"`
	// State is beatRunning, beatSealed or beatFailed.
	State string `json:"state"`
	// Reason is why the dump failed.
	Reason Text `json:"reason,omitempty"`
	// Done are the chunks that are complete, in the order in which they became so.
	Done []DumpID `json:"done,omitempty"`
}

// The states of a dump.
const (
	beatRunning = "running"
	beatSealed  = "sealed"
	beatFailed  = "failed"
)

// heartbeat writes the heartbeat of a Writer. Its methods do nothing on nil.
type heartbeat struct {
	store  Store
	run    string
	mac    MACKey
	cancel context.CancelCauseFunc

	mu      sync.Mutex // held while the object is read and written
	next    Beat
	listMu  sync.Mutex
	done    []DumpID
	changed chan struct{}
	stop    chan struct{}
	over    chan struct{}
}

// Claim says, in a store that keeps things, that the run writes here from now on. The context that it returns is
// cancelled where another run turns up in the same place. Seal or Fail must follow.
func (w *Writer) Claim(ctx context.Context, run string) (context.Context, error) {
	w.header.Run = run
	if w.header.Live {
		return ctx, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	h := &heartbeat{store: w.store, run: run, mac: w.mac, cancel: cancel, next: Beat{State: beatRunning, Writer: rand.Text()},
		changed: make(chan struct{}, 1), stop: make(chan struct{}), over: make(chan struct{})}
	if w.prior != nil {
		h.next.N, h.done = w.prior.Beats, slices.Clone(w.prior.Done)
	}
	if err := h.write(ctx); err != nil {
		cancel(err)
		return ctx, err
	}
	w.beat = h
	go h.loop(ctx)
	return ctx, nil
}

// Fail says that the dump failed, for a reader that waits. It is a courtesy: what it can't
// write it leaves unsaid, and the silence will tell.
func (w *Writer) Fail(ctx context.Context, cause error) {
	if w.beat == nil || cause == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = w.beat.end(ctx, beatFailed, Text(cause.Error()))
}

// chunk lists a chunk in the next heartbeat.
func (h *heartbeat) chunk(id DumpID) {
	if h == nil {
		return
	}
	h.listMu.Lock()
	h.done = append(h.done, id)
	h.listMu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *heartbeat) loop(ctx context.Context) {
	defer close(h.over)
	for {
		h.listMu.Lock()
		gap := beatGap * time.Duration(1+len(h.done)/beatListed)
		h.listMu.Unlock()
		if !h.pause(ctx, gap, nil) || !h.pause(ctx, beatEvery-gap, h.changed) {
			return
		}
		// A heartbeat that can't be written is no reason to give up: the chunks' own writes decide
		// that. Only a stranger's is.
		err := h.check(ctx)
		if err == nil {
			err = h.write(ctx)
		}
		var f *Failure
		if errors.As(err, &f) && f.Kind == Busy {
			h.cancel(err)
			return
		}
	}
}

// pause waits for d, or until wake; it returns false when the heartbeat is to end.
func (h *heartbeat) pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-h.stop:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// write writes the next heartbeat.
func (h *heartbeat) write(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listMu.Lock()
	h.next.Done = h.done[:len(h.done):len(h.done)]
	h.listMu.Unlock()
	h.next.N++
	b, err := wrap(keyHeartbeat, h.run, h.mac, h.next)
	if err != nil {
		return err
	}
	if err := h.store.Put(ctx, keyHeartbeat, bytes.NewReader(b)); err != nil {
		return fmt.Errorf("write %s: %w", keyHeartbeat, err)
	}
	return nil
}

// check returns a Failure of kind Busy where the heartbeat in the store is not ours.
func (h *heartbeat) check(ctx context.Context) error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// A store that waits for what isn't there must not make us wait.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	b, err := readObject(ctx, h.store, keyHeartbeat, maxRecord)
	if KindOf(err) == Usage {
		return nil // who encrypts to others can't read what is there
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", keyHeartbeat, err)
	}
	run, body, err := unwrap(keyHeartbeat, b, h.mac)
	var beat Beat
	if err == nil {
		err = decode(body, &beat)
	}
	if err != nil || run != h.run || beat.Writer != h.next.Writer {
		return Fail(Busy, "another dump writes its archive to the same place").
			WithHint("give every dump a place of its own, delete what is there, and dump again")
	}
	return nil
}

// rename has the heartbeat be another run's, of which no chunk is complete yet.
func (h *heartbeat) rename(ctx context.Context, run string) error {
	if h == nil || h.run == run {
		return nil
	}
	h.mu.Lock()
	h.run = run
	h.listMu.Lock()
	h.done = nil
	h.listMu.Unlock()
	h.mu.Unlock()
	return h.write(ctx)
}

// end stops the heartbeat and writes the last one.
func (h *heartbeat) end(ctx context.Context, state string, reason Text) error {
	if h == nil {
		return nil
	}
	select {
	case <-h.stop:
		return nil // it ended before
	default:
	}
	close(h.stop)
	<-h.over
	h.cancel(nil)
	h.next.State, h.next.Reason = state, reason
	return h.write(context.WithoutCancel(ctx))
}

// readObject reads a whole object of at most limit bytes.
func readObject(ctx context.Context, s Store, key string, limit int64) ([]byte, error) {
	rc, err := s.Get(ctx, key, 0)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	if err == nil && int64(len(b)) > limit {
		err = &Failure{Kind: Integrity, Object: key, Msg: fmt.Sprintf("it is larger than %d bytes", limit)}
	}
	return b, err
}
