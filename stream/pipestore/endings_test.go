package pipestore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/blockpipe"
	"github.com/pgmove/pgmove/stream/pipestore"
)

// failing yields its bytes and then its error, which may come with the last of them.
type failing struct {
	b   string
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n := copy(p, f.b)
	f.b = f.b[n:]
	if f.b == "" {
		return n, f.err
	}
	return n, nil
}

func TestSourceFails(t *testing.T) {
	for _, failure := range []error{errBroken, io.ErrUnexpectedEOF} {
		for _, read := range []func(*pipestore.Object) ([]byte, error){
			func(o *pipestore.Object) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{o}) },
			func(o *pipestore.Object) ([]byte, error) {
				var b bytes.Buffer
				_, err := o.WriteTo(&b)
				return b.Bytes(), err
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				s := pipestore.New()
				done := offer(s, t.Context(), "k", &failing{"some", failure})
				o := take(t, s, t.Context(), "k")
				if b, err := read(o); string(b) != "some" || err != failure {
					t.Errorf("read %q, %v, want %v", b, err, failure)
				}
				// Put need not wait for the getter's leave.
				if err := <-done; !errors.Is(err, failure) || errors.Is(err, pipestore.ErrAbandoned) {
					t.Errorf("Put: %v, want %v", err, failure)
				}
				if _, err := o.Read(make([]byte, 1)); err != failure {
					t.Errorf("Read again: %v", err)
				}
				if _, err := o.WriteTo(io.Discard); err != failure {
					t.Errorf("WriteTo again: %v", err)
				}
				if err := o.Close(); !errors.Is(err, failure) {
					t.Errorf("Close acknowledges an object that failed: %v", err)
				}
			})
		}
	}
}

func TestAbandon(t *testing.T) {
	for name, give := range map[string]func(*pipestore.Object){
		"before reading": func(o *pipestore.Object) { o.Abandon(errBroken) },
		"within":         func(o *pipestore.Object) { _, _ = o.Read(make([]byte, 2)); o.Abandon(errBroken) },
		"at the end":     func(o *pipestore.Object) { _, _ = io.ReadAll(o); o.Abandon(errBroken) },
		"by Close": func(o *pipestore.Object) {
			_, _ = o.Read(make([]byte, 4)) // all of it, but the end was not seen
			if err := o.Close(); !errors.Is(err, pipestore.ErrAbandoned) {
				t.Errorf("Close before the end: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pipestore.New()
				for range 2 {
					done := offer(s, t.Context(), "k", strings.NewReader("some"))
					o := take(t, s, t.Context(), "k")
					give(o)
					err := <-done
					if !errors.Is(err, pipestore.ErrAbandoned) || !errors.Is(err, stream.ErrAbandoned) {
						t.Errorf("Put: %v, want one that wraps ErrAbandoned", err)
					}
					if name != "by Close" && !errors.Is(err, errBroken) {
						t.Errorf("Put: %v, want one that wraps the reason", err)
					}
					if _, err := o.Read(make([]byte, 1)); err == nil {
						t.Error("Read of an abandoned object succeeded")
					}
					if err := o.Close(); err == nil {
						t.Error("Close of an abandoned object succeeded")
					}
				}
				// Offered again, it can be taken for good.
				done := offer(s, t.Context(), "k", strings.NewReader("some"))
				o := take(t, s, t.Context(), "k")
				if _, err := io.ReadAll(o); err != nil {
					t.Error(err)
				}
				if err := errors.Join(o.Close(), <-done); err != nil {
					t.Error(err)
				}
				for i := range 3 {
					if key, err := s.Visible(t.Context(), i); key != "k" || err != nil {
						t.Errorf("Visible(%d) = %q, %v", i, key, err)
					}
				}
			})
		})
	}
}

// TestPutCancelled: an offer not taken is withdrawn, one that is taken fails its getter.
func TestPutCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		ctx, cancel := context.WithCancel(t.Context())
		done := offer(s, ctx, "k", strings.NewReader("some"))
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Put: %v", err)
		}
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := s.Get(short, "k", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get of a withdrawn offer: %v", err)
		}

		for _, whole := range []bool{false, true} {
			ctx, cancel = context.WithCancel(t.Context())
			done = offer(s, ctx, "k", strings.NewReader("some"))
			o := take(t, s, t.Context(), "k")
			if whole {
				if _, err := io.ReadAll(o); err != nil {
					t.Error(err)
				}
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Put: %v", err)
			}
			if _, err := o.Read(make([]byte, 1)); !whole && !errors.Is(err, context.Canceled) {
				t.Errorf("Read: %v", err)
			}
			if err := o.Close(); !errors.Is(err, context.Canceled) {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

// TestSilentSource: a Read that hangs ends, whoever gives up, and nobody reads the source
// after Put has returned.
func TestSilentSource(t *testing.T) {
	type pipe interface {
		io.Reader
		CloseWithError(error) error
	}
	for name, newPipe := range map[string]func() (pipe, io.Writer){
		"io":        func() (pipe, io.Writer) { return io.Pipe() },
		"blockpipe": func() (pipe, io.Writer) { return blockpipe.New(0, 0) },
	} {
		for who, c := range map[string]struct {
			stop      func(s *pipestore.Store, o *pipestore.Object, putter, getter context.CancelFunc)
			read, put error
		}{
			"putter":  {func(_ *pipestore.Store, _ *pipestore.Object, p, _ context.CancelFunc) { p() }, context.Canceled, context.Canceled},
			"getter":  {func(_ *pipestore.Store, _ *pipestore.Object, _, g context.CancelFunc) { g() }, context.Canceled, pipestore.ErrAbandoned},
			"abandon": {func(_ *pipestore.Store, o *pipestore.Object, _, _ context.CancelFunc) { o.Abandon(errBroken) }, errBroken, errBroken},
			"store":   {func(s *pipestore.Store, _ *pipestore.Object, _, _ context.CancelFunc) { s.CloseWithError(errBroken) }, errBroken, errBroken},
		} {
			t.Run(name+"/"+who, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := pipestore.New()
					putter, stopPutter := context.WithCancel(t.Context())
					getter, stopGetter := context.WithCancel(t.Context())
					defer stopPutter()
					defer stopGetter()
					r, w := newPipe()
					done := offer(s, putter, "k", r)
					o := take(t, s, getter, "k")
					read := make(chan error, 1)
					go func() {
						_, err := o.Read(make([]byte, 10))
						read <- err
						_ = o.Close()
					}()
					synctest.Wait()
					c.stop(s, o, stopPutter, stopGetter)
					if err := <-read; !errors.Is(err, c.read) {
						t.Errorf("Read: %v, want %v", err, c.read)
					}
					if err := <-done; !errors.Is(err, c.put) {
						t.Errorf("Put: %v, want %v", err, c.put)
					}
					// The source's writer learns of it too.
					if _, err := w.Write([]byte("x")); err == nil {
						t.Error("the source can still be written to")
					}
				})
			})
		}
	}
}
