package stream

import (
	"context"
	"errors"
	"io"
	"slices"
)

func (r *Reader) finishIfDone() {
	if r.left == 0 {
		close(r.done)
	}
}

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
		cursor, wake := r.cursor, r.wake
		if !announced {
			r.cursor++
			r.asking++
		}
		r.mu.Unlock()
		if announced {
			// All that is left is in other goroutines' hands; one of them may give it back.
			select {
			case <-r.done:
			case <-wake:
			case <-ctx.Done():
				return Chunk{}, context.Cause(ctx)
			}
			continue
		}
		key, err := r.visible(ctx, cursor)
		c, ok := r.answered(key, err)
		if errors.Is(err, errNoMore) {
			err = r.nothingMore(ctx)
		}
		if err != nil {
			return Chunk{}, err
		}
		if ok {
			return c, nil
		}
	}
}

// errNoMore is what an Announcer returns when nothing more will become visible.
var errNoMore = errors.New("nothing more will come")

// nothingMore returns an error unless all chunks were handed out, or will be by those who asked before.
func (r *Reader) nothingMore(ctx context.Context) error {
	for {
		r.mu.Lock()
		all, asking, wake := r.handed == len(r.plan), r.asking > 0, r.wake
		r.mu.Unlock()
		switch {
		case all:
			return nil
		case !asking:
			return r.broken(keyHeartbeat, errors.New("the dump has ended without all chunks of its plan"))
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// answered takes the answer to a question of Next. It returns the chunk that a key makes readable, if there is one. A live
// chunk may be offered again and again, a stored one is handed out once, however often its key comes.
func (r *Reader) answered(key string, err error) (Chunk, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asking--; r.asking == 0 {
		r.stir()
	}
	if err != nil {
		return Chunk{}, false
	}
	c, ok := r.plan[key]
	if !ok || r.header.Live {
		return c, ok
	}
	if r.out[key] {
		return c, false
	}
	r.out[key] = true
	if r.handed++; r.handed == len(r.plan) {
		r.stir()
	}
	return c, true
}

// stir wakes all who wait for a change. The caller holds r.mu.
func (r *Reader) stir() {
	close(r.wake)
	r.wake = make(chan struct{})
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
func (r *Reader) finished(rec *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.foreign != nil && rec != nil {
		r.used[rec.Key] = *rec
	}
	r.left--
	r.finishIfDone()
}

// GiveBack hands a chunk out once more that an outage kept from being opened.
func (r *Reader) GiveBack(c Chunk) { r.giveBack(c, true) }

// giveBack hands a chunk out once more, next or last.
func (r *Reader) giveBack(c Chunk, next bool) {
	if r.header.Live {
		return // its writer offers it again
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if next {
		r.queue = slices.Insert(r.queue, 0, c)
	} else {
		r.queue = append(r.queue, c)
	}
	r.stir()
}

// NoData finishes all chunks unread. It comes after Plan and before Next.
func (r *Reader) NoData() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noData, r.queue = true, nil
	if r.left > 0 {
		r.left = 0
		r.finishIfDone()
	}
}

// errSkipped is the cause where a chunk was taken from another archive.
var errSkipped = errors.New("the target has taken other rows for it")

// Skip finishes chunks that the target took before, given with their digests. It comes after Plan and before
// Next. The chunks' objects are not read.
func (r *Reader) Skip(taken []Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make(map[string]bool, len(taken))
	for _, t := range taken {
		keys[t.Key] = true
		switch {
		case r.foreign != nil:
			r.used[t.Key] = t
		case r.manifest != nil:
			if rec := r.records[t.Key]; rec == nil || rec.Digest != t.Digest {
				return r.broken(t.Key, errSkipped)
			}
		case !r.header.Live:
			r.out[recordKey(t.ID)] = true
			r.handed++
			r.skipped[t.Key] = t.Digest
		}
	}
	if len(keys) == 0 {
		return nil
	}
	r.queue = slices.DeleteFunc(r.queue, func(c Chunk) bool { return keys[c.Key] })
	r.left -= len(keys)
	r.finishIfDone()
	return nil
}
