package s3store_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// cut is a body that ends early, with err.
type cut struct {
	io.ReadCloser
	left int
	err  error
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// TestGetResumes: a body that breaks off is read on from there.
func TestGetResumes(t *testing.T) {
	t.Parallel() // beside the others that mostly wait
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, errors.New("connection reset by peer")} {
		t.Run(end.Error(), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			s, f, _ := openFaulty(t)
			if err := s.Put(t.Context(), "k", strings.NewReader(large)); err != nil {
				t.Fatal(err)
			}
			gets := 0
			f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && operation(r) == "get" {
					gets++
					resp.Body = &cut{resp.Body, 1_000_000, end}
				}
				return resp, err
			})
			for _, offset := range []int64{0, 1_234_567} {
				gets = 0
				r, err := s.Get(t.Context(), "k", offset)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil || string(b) != large[offset:] || gets < 10 {
					t.Errorf("%v: %d bytes in %d answers, %v", end, len(b), gets, err)
				}
				_ = r.Close()
			}
			// Without any progress it ends, and not like the object's end.
			f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && operation(r) == "get" {
					resp.Body = &cut{resp.Body, 0, end}
				}
				return resp, err
			})
			r, err := s.Get(t.Context(), "k", 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(r)
			if err == nil || end != io.EOF && !errors.Is(err, end) || end == io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v without end: %v", end, err)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) && stream.KindOf(err) != stream.Outage {
				t.Errorf("%v without end: kind %v", end, stream.KindOf(err))
			}
			_ = r.Close()
		})
	}
}

// TestGetReplaced: an object that is replaced while its body is read on isn't mixed with
// the new one.
func TestGetReplaced(t *testing.T) {
	s, f, _ := openFaulty(t)
	if err := s.Put(t.Context(), "k", strings.NewReader(large)); err != nil {
		t.Fatal(err)
	}
	f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil && operation(r) == "get" {
			resp.Body = &cut{resp.Body, 1000, io.EOF}
		}
		return resp, err
	})
	r, err := s.Get(t.Context(), "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k", strings.NewReader(strings.ToUpper(large))); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if len(b) != 1000 || stream.KindOf(err) != stream.Integrity {
		t.Errorf("%d bytes, then %v", len(b), err)
	}
	_ = r.Close()
}

// TestWrongAnswers: a server that doesn't answer what it was asked isn't believed.
func TestWrongAnswers(t *testing.T) {
	s, f, _ := openFaulty(t)
	if err := s.Put(t.Context(), "k", strings.NewReader("0123456789")); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*http.Response){
		"no range":      func(r *http.Response) { r.Header.Del("Content-Range") },
		"another range": func(r *http.Response) { r.Header.Set("Content-Range", "bytes 0-9/10") },
		"a shorter one": func(r *http.Response) { r.Header.Set("Content-Range", "bytes 5-7/10") },
		"no sense":      func(r *http.Response) { r.Header.Set("Content-Range", "bytes") },
		"longer body":   func(r *http.Response) { r.Body = io.NopCloser(strings.NewReader("56789 and more")) },
	} {
		f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				change(resp)
			}
			return resp, err
		})
		r, err := s.Get(t.Context(), "k", 5)
		if err == nil {
			_, err = io.ReadAll(r)
			_ = r.Close()
		}
		if err == nil {
			t.Errorf("%s: believed", name)
		}
	}
	f.set(nil)
	r, err := s.Get(t.Context(), "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if _, err := r.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read after Close: %v", err)
	}
}

// TestFlippedBit: what doesn't match the server's checksum is no success.
func TestFlippedBit(t *testing.T) {
	s, f, _ := openFaulty(t)
	if err := s.Put(t.Context(), "k", bytes.NewReader(make([]byte, 100_000))); err != nil {
		t.Fatal(err)
	}
	f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil && operation(r) == "get" {
			b, _ := io.ReadAll(resp.Body)
			b[50_000] ^= 1
			resp.Body = io.NopCloser(bytes.NewReader(b))
		}
		return resp, err
	})
	r, err := s.Get(t.Context(), "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); stream.KindOf(err) != stream.Integrity {
		t.Errorf("read: %v", err)
	}
	_ = r.Close()
}
