package stream

import (
	"context"
	"io"
	"sync"
	"time"
)

// Throttle bounds how many bytes a second all who share it pass on together. A nil Throttle bounds nothing.
type Throttle struct {
	rate float64 // bytes a second

	mu   sync.Mutex
	free time.Time // when what was let through so far will have been paid for
}

// NewThrottle returns a Throttle of so many bytes a second; nil for 0.
func NewThrottle(rate int64) *Throttle {
	if rate <= 0 {
		return nil
	}
	return &Throttle{rate: float64(rate)}
}

// burst is how far the bytes may be ahead of the clock: half a second's worth is nothing to a server, and short sleeps are not exact.
const burst = 500 * time.Millisecond

// Take waits until n bytes more may pass. Its error is ctx's.
func (p *Throttle) Take(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-burst); p.free.Before(earliest) {
		p.free = earliest
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	wait := p.free.Sub(now)
	p.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	return pause(ctx, wait)
}

// pause waits, no longer than ctx lasts, whose end is the error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Writer returns w at this pace.
func (p *Throttle) Writer(ctx context.Context, w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return &pacedWriter{ctx: ctx, p: p, w: w}
}

type pacedWriter struct {
	ctx context.Context
	p   *Throttle
	w   io.Writer
}

func (w *pacedWriter) Write(b []byte) (int, error) {
	if err := w.p.Take(w.ctx, len(b)); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}
