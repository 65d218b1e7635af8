package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
)

// trip is a function as an HTTP transport.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// fault stands between a store and the server; do may answer in the server's place, or change
// what it answered.
type fault struct {
	next http.RoundTripper
	mu   sync.Mutex
	do   func(r *http.Request, next http.RoundTripper) (*http.Response, error)
}

func (f *fault) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	do := f.do
	f.mu.Unlock()
	if do == nil {
		return f.next.RoundTrip(r)
	}
	return do(r, f.next)
}

// wrap is for Options.Transport.
func (f *fault) wrap(next http.RoundTripper) http.RoundTripper {
	f.next = next
	return f
}

func (f *fault) set(do func(r *http.Request, next http.RoundTripper) (*http.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.do = do
}

// openFaulty opens a store with a fault between, which does nothing yet.
func openFaulty(t *testing.T) (s *s3store.Store, f *fault, bucket string) {
	t.Helper()
	f = &fault{}
	s = open(t, func(o *s3store.Options) {
		bucket = o.Bucket
		o.Transport = f.wrap
	})
	return s, f, bucket
}

// operation names what a request asks for.
func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create"
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "complete"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodGet && !q.Has("list-type"):
		return "get"
	}
	return r.Method
}

// reply answers a request with an S3 error in place of the server, having read its body.
func reply(r *http.Request, status int, code string) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>made up</Message></Error>`, code)
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: r,
	}, nil
}

func read(t *testing.T, s *s3store.Store, key string) string {
	t.Helper()
	r, err := s.Get(t.Context(), key, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// large is the body of an object of three parts.
var large = strings.Repeat("sixteen bytes..\n", 12<<20/16)

// TestRetries: of the requests of each kind every third fails, in several ways.
func TestRetries(t *testing.T) {
	t.Parallel() // beside the others that mostly wait
	for _, way := range []string{"503", "500", "reset", "lost answer"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			s, f, bucket := openFaulty(t)
			n := map[string]int{}
			var mu sync.Mutex
			f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				mu.Lock()
				n[operation(r)]++
				fails := n[operation(r)]%3 == 1
				mu.Unlock()
				switch {
				case !fails:
					return next.RoundTrip(r)
				case way == "503":
					return reply(r, 503, "SlowDown")
				case way == "500":
					return reply(r, 500, "InternalError")
				case way == "reset":
					return nil, errors.New("connection reset by peer")
				}
				// The server does it, but its answer is lost. An upload begun twice leaves
				// one behind that nobody knows of; Sweep is for that.
				if operation(r) == "create" {
					return nil, errors.New("connection reset by peer")
				}
				resp, err := next.RoundTrip(r)
				if err != nil {
					return nil, err
				}
				_ = resp.Body.Close()
				return nil, errors.New("connection reset by peer")
			})
			for key, body := range map[string]string{"small": "x", "large": large} {
				if err := s.Put(t.Context(), key, strings.NewReader(body)); err != nil {
					t.Errorf("Put(%s): %v", key, err)
				}
			}
			found, err := s.List(t.Context(), "")
			if err != nil || len(found) != 2 {
				t.Errorf("List = %v, %v", found, err)
			}
			if read(t, s, "small") != "x" || read(t, s, "large") != large {
				t.Error("an object came back changed")
			}
			if err := s.Delete(t.Context(), "small"); err != nil {
				t.Error(err)
			}
			if left := uploads(t, bucket); len(left) > 0 {
				t.Errorf("incomplete uploads: %q", left)
			}
		})
	}
}

// TestPutFails: failures that don't go away, at each step of a Put.
func TestPutFails(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	for _, c := range []struct {
		operation string
		status    int
		code      string
		kind      stream.Kind
	}{
		{"put", 403, "AccessDenied", stream.Denied},
		{"put", 403, "SignatureDoesNotMatch", stream.Denied},
		{"put", 403, "InvalidAccessKeyId", stream.Denied},
		{"put", 400, "ExpiredToken", stream.Denied},
		{"put", 404, "NoSuchBucket", stream.Preflight},
		{"put", 503, "SlowDown", stream.Outage},
		{"put", 500, "InternalError", stream.Outage},
		{"put", 502, "Whatever", stream.Outage},
		{"put", 400, "Whatever", stream.Failed},
		{"put", 400, "InvalidStorageClass", stream.Usage},
		{"create", 501, "NotImplemented", stream.Failed},
		{"create", 403, "AccessDenied", stream.Denied},
		{"create", 503, "SlowDown", stream.Outage},
		{"part", 400, "ExpiredToken", stream.Denied},
		{"part", 503, "SlowDown", stream.Outage},
		{"part", 0, "", stream.Outage},
		{"complete", 403, "AccessDenied", stream.Denied},
		{"complete", 500, "InternalError", stream.Outage},
		{"complete", 200, "InternalError", stream.Outage}, // an error in a body of status 200
		{"complete", 200, "AccessDenied", stream.Denied},
		{"complete", 404, "NoSuchUpload", stream.Failed}, // and it is not there either
	} {
		t.Run(fmt.Sprint(c.operation, c.status, c.code), func(t *testing.T) {
			s, f, bucket := openFaulty(t)
			f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if operation(r) != c.operation {
					return next.RoundTrip(r)
				}
				if c.status == 0 {
					return nil, io.EOF // the connection ends
				}
				return reply(r, c.status, c.code)
			})
			body := large
			if c.operation == "put" {
				body = "small"
			}
			err := s.Put(t.Context(), "k", strings.NewReader(body))
			if err == nil || stream.KindOf(err) != c.kind || !strings.Contains(err.Error(), bucket) {
				t.Errorf("kind %v: %v; want kind %v", stream.KindOf(err), err, c.kind)
			}
			f.set(nil)
			if found, err := s.List(t.Context(), ""); err != nil || len(found) > 0 {
				t.Errorf("List = %v, %v", found, err)
			}
			if left := uploads(t, bucket); len(left) > 0 {
				t.Errorf("incomplete uploads: %q", left)
			}
		})
	}
}

// TestAbortFails: that parts stay in the bucket is said.
func TestAbortFails(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	s, f, _ := openFaulty(t)
	refuse := func(operations string) {
		f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if strings.Contains(operations, operation(r)) {
				return reply(r, 403, "AccessDenied")
			}
			return next.RoundTrip(r)
		})
	}
	refuse("part abort")
	err := s.Put(t.Context(), "k", strings.NewReader(large))
	if stream.KindOf(err) != stream.Denied || !strings.Contains(err.Error(), "parts are left") {
		t.Errorf("Put: %v", err)
	}
	refuse("abort")
	broken := errors.New("broken")
	err = s.Put(t.Context(), "k", io.MultiReader(strings.NewReader(large), failing{broken}))
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "parts are left") {
		t.Errorf("Put: %v", err)
	}
	f.set(nil)
	if n, err := s.Sweep(t.Context()); n != 2 || err != nil {
		t.Errorf("Sweep = %d, %v", n, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestCancelInFlight cancels while the server is working, at each step.
func TestCancelInFlight(t *testing.T) {
	for _, op := range []string{"create", "part", "complete"} {
		t.Run(op, func(t *testing.T) {
			s, f, bucket := openFaulty(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if operation(r) == op {
					cancel()
				}
				return next.RoundTrip(r)
			})
			err := s.Put(ctx, "k", strings.NewReader(large))
			f.set(nil)
			found, listErr := s.List(t.Context(), "")
			if listErr != nil {
				t.Fatal(listErr)
			}
			// An upload that is being completed is seen through.
			if op == "complete" && (err != nil || len(found) != 1) ||
				op != "complete" && (!errors.Is(err, context.Canceled) || len(found) != 0) {
				t.Errorf("Put: %v, and there is %v", err, found)
			}
			if left := uploads(t, bucket); len(left) > 0 {
				t.Errorf("incomplete uploads: %q", left)
			}
		})
	}
}
