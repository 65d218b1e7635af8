package blockpipe

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func random(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// TestBytes sends bytes in writes and reads of random sizes through small and large pipes.
func TestBytes(t *testing.T) {
	for _, size := range []int{1, 7, 64, 4096, 100_000} {
		for _, blocks := range []int{2, 3, 5} {
			for seed := range byte(4) {
				want := random(200_000/(1+100/size), seed)
				r, w := New(blocks, size)
				go func() {
					rnd := rand.New(rand.NewPCG(1, uint64(seed)))
					for rest := want; len(rest) > 0; {
						n, err := w.Write(rest[:min(len(rest), rnd.IntN(3*size+1))])
						if err != nil {
							t.Error(err)
						}
						rest = rest[n:]
					}
					_ = w.Close()
				}()
				var got bytes.Buffer
				if seed%2 == 0 {
					if n, err := r.WriteTo(&got); err != nil || n != int64(len(want)) {
						t.Errorf("WriteTo = %d, %v, want %d", n, err, len(want))
					}
				} else {
					rnd := rand.New(rand.NewPCG(2, uint64(seed)))
					for {
						b := make([]byte, rnd.IntN(2*size+2))
						n, err := r.Read(b)
						got.Write(b[:n])
						if err == io.EOF {
							break
						}
						if err != nil {
							t.Fatal(err)
						}
					}
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%d blocks of %d: %d bytes came out changed", blocks, size, len(want))
				}
			}
		}
	}
}

func TestEmpty(t *testing.T) {
	r, w := New(0, 0)
	if n, err := w.Write(nil); n != 0 || err != nil {
		t.Errorf("Write of nothing = %d, %v", n, err)
	}
	_ = w.Close()
	for range 2 {
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Read = %d, %v, want EOF", n, err)
		}
	}
	if n, err := r.WriteTo(nil); n != 0 || err != nil {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	if _, err := w.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("Write after Close: %v", err)
	}
}

func TestWriterFails(t *testing.T) {
	broken := errors.New("broken")
	r, w := New(2, 10)
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = w.CloseWithError(broken)
	_ = w.Close() // too late to turn it into an end of file
	if b, err := io.ReadAll(r); string(b) != "hello" || err != broken {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := r.WriteTo(io.Discard); err != broken {
		t.Errorf("WriteTo: %v", err)
	}
}

func TestReaderCloses(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct{ with, want error }{{nil, io.ErrClosedPipe}, {broken, broken}} {
		r, w := New(2, 10)
		if _, err := w.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		if _, err := r.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		_ = r.CloseWithError(c.with)
		_ = r.CloseWithError(errors.New("another"))
		if _, err := r.Read(make([]byte, 1)); err != io.ErrClosedPipe {
			t.Errorf("Read after Close: %v", err)
		}
		if _, err := r.WriteTo(io.Discard); err != io.ErrClosedPipe {
			t.Errorf("WriteTo after Close: %v", err)
		}
		r, w = New(2, 10)
		_ = r.CloseWithError(c.with)
		if _, err := w.Write([]byte("x")); err != c.want {
			t.Errorf("Write to a closed reader: %v, want %v", err, c.want)
		}
	}
}

// TestUnblock: closing either end ends a call that blocks on either end.
func TestUnblock(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			stop func(*Reader, *Writer)
			// What a blocked Read, and a blocked Write, returns.
			read, write error
		}{
			{"writer", func(_ *Reader, w *Writer) { _ = w.CloseWithError(broken) }, broken, io.ErrClosedPipe},
			{"reader", func(r *Reader, _ *Writer) { _ = r.CloseWithError(broken) }, io.ErrClosedPipe, broken},
		} {
			got := make(chan error)
			r, w := New(2, 10)
			go func() {
				_, err := r.Read(make([]byte, 10))
				got <- err
			}()
			synctest.Wait()
			c.stop(r, w)
			if err := <-got; err != c.read {
				t.Errorf("%s: Read: %v, want %v", c.name, err, c.read)
			}
			r, w = New(2, 10)
			go func() {
				n, err := w.Write(make([]byte, 100))
				if n != 20 {
					t.Errorf("Write wrote %d", n)
				}
				got <- err
			}()
			synctest.Wait()
			c.stop(r, w)
			if err := <-got; err != c.write {
				t.Errorf("%s: Write: %v, want %v", c.name, err, c.write)
			}
		}
	})
}

// TestLinger: what a slow writer wrote comes out before a block is full.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := New(0, 0)
		go func() {
			for range 3 {
				time.Sleep(time.Second)
				_, _ = w.Write([]byte("row\n"))
			}
			_ = w.Close()
		}()
		for i := range 3 {
			start := time.Now()
			b := make([]byte, 100)
			n, err := r.Read(b)
			if string(b[:n]) != "row\n" || err != nil {
				t.Errorf("read %d: %q, %v", i, b[:n], err)
			}
			if d := time.Since(start); d > time.Second+linger {
				t.Errorf("read %d took %v", i, d)
			}
		}
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	})
}

type short struct{ n int }

func (s short) Write(p []byte) (int, error) { return min(s.n, len(p)), nil }

func TestShortWrite(t *testing.T) {
	r, w := New(2, 10)
	_, _ = w.Write([]byte("hello"))
	_ = w.Close()
	if n, err := r.WriteTo(short{3}); n != 3 || err != io.ErrShortWrite {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	if b, err := io.ReadAll(r); string(b) != "lo" || err != nil {
		t.Errorf("the rest is %q, %v", b, err)
	}
}

func TestAllocations(t *testing.T) {
	r, w := New(2, 4096)
	row := make([]byte, 100)
	go func() { _, _ = r.WriteTo(io.Discard) }()
	defer func() { _ = w.Close() }()
	for range 1000 {
		_, _ = w.Write(row)
	}
	if n := testing.AllocsPerRun(10_000, func() { _, _ = w.Write(row) }); n > 0 {
		t.Errorf("a write allocates %v times", n)
	}
}

func benchmark(b *testing.B, r io.Reader, w io.WriteCloser) {
	row := make([]byte, 100)
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	done := make(chan error)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 64<<10))
		done <- err
	}()
	for b.Loop() {
		if _, err := w.Write(row); err != nil {
			b.Fatal(err)
		}
	}
	_ = w.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkBlockPipe(b *testing.B) {
	r, w := New(0, 0)
	benchmark(b, r, w)
}

func BenchmarkIOPipe(b *testing.B) {
	r, w := io.Pipe()
	benchmark(b, r, w)
}
