package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// TestRetry: an outage is waited for longer and longer, and two and a half minutes in all; nothing else is.
func TestRetry(t *testing.T) {
	outage := fmt.Errorf("a chunk: %w", stream.Fail(stream.Outage, "gone"))
	synctest.Test(t, func(t *testing.T) {
		begun, failed := time.Now(), 1
		for last := time.Duration(0); (stream.Retry{}).Again(t.Context(), failed, outage); failed++ {
			start := time.Now()
			if last = time.Since(start); last > 40*time.Second {
				t.Errorf("pause %d took %v", failed, last)
			}
		}
		if all := time.Since(begun); failed != 10 || all < 100*time.Second || all > 200*time.Second {
			t.Errorf("%d tries in %v", failed, all)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second / 2); cancel() }()
		begun = time.Now()
		if (stream.Retry{First: time.Hour, Most: time.Hour}).Again(ctx, 1, outage) || time.Since(begun) > time.Second {
			t.Error("a pause outlived its context")
		}
	})
	for _, err := range []error{nil, errors.New("wrong"), stream.Fail(stream.Busy, "another"), stream.Last(outage), fmt.Errorf("so: %w", stream.Last(outage)),
		stream.Fail(stream.NotResumable, "x").Because(outage), context.Canceled} {
		if stream.Passing(err) || (stream.Retry{}).May(1, err) {
			t.Errorf("%v is tried again", err)
		}
	}
	again := fmt.Errorf("chunk: %w", stream.ComesAgain(outage))
	if !errors.Is(again, stream.ErrAgain) || !stream.Passing(again) || stream.KindOf(again) != stream.Outage || again.Error() != "chunk: "+outage.Error() {
		t.Errorf("%v", again)
	}
	if stream.Last(nil) != nil || stream.KindOf(stream.Last(outage)) != stream.Outage {
		t.Error("Last changes the kind")
	}
}
