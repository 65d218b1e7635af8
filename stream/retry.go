package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Retry says how often and how patiently a chunk or an entry is tried again that an outage stopped. The zero Retry
// waits from one second up to half a minute, two and a half minutes in all: longer than a server takes to restart, or to fail over.
type Retry struct {
	// Tries is after how many failures of one chunk or entry no more is tried; 10 where it is 0.
	Tries int
	// First is the pause after the first failure; each is twice the one before, up to Most.
	First, Most time.Duration
}

// Again says whether what failed with err, for the failed-th time, is to be tried again; it has waited by then.
func (r Retry) Again(ctx context.Context, failed int, err error) bool {
	if !r.May(failed, err) || ctx.Err() != nil {
		return false
	}
	first, most := r.First, r.Most
	if first <= 0 {
		first = time.Second
	}
	if most <= 0 {
		most = 30 * time.Second
	}
	pause := first
	for i := 1; i < failed && pause < most; i++ {
		pause *= 2
	}
	pause = min(pause, most)
	// Those who failed together need not come back together.
	t := time.NewTimer(pause*3/4 + rand.N(pause/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// May is Again without the waiting.
func (r Retry) May(failed int, err error) bool {
	tries := r.Tries
	if tries <= 0 {
		tries = 10
	}
	return failed < tries && Passing(err)
}

// Passing reports whether err is an outage that this process may outlast.
func Passing(err error) bool {
	var last *lastError
	return KindOf(err) == Outage && !errors.As(err, &last)
}

// Last marks an outage that this process can't outlast: another try would meet it again, and a
// new process with --resume would not.
func Last(err error) error {
	if err == nil {
		return nil
	}
	return &lastError{err}
}

type lastError struct{ error }

func (e *lastError) Unwrap() error { return e.error }

// ErrAgain is wrapped by what a chunk's reader gets where its writer failed and offers the chunk once more.
var ErrAgain = errors.New("it comes again")

// againError is an error that wraps ErrAgain and reads as its cause.
type againError struct{ error }

func (e againError) Unwrap() []error { return []error{e.error, ErrAgain} }

// ComesAgain marks the error of a chunk that its writer will offer again.
func ComesAgain(err error) error { return againError{err} }

// Patiently calls open until it ends well or with something else than an outage, for as long as patience lasts. The pauses
// grow from 0.2 seconds.
func Patiently[T any](ctx context.Context, patience time.Duration, open func() (T, error)) (none T, _ error) {
	deadline := time.Now().Add(patience)
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		v, err := open()
		if err == nil {
			return v, nil
		}
		if KindOf(err) != Outage || ctx.Err() != nil || time.Now().Add(wait).After(deadline) {
			return none, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
	}
}
