package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// s3Proxy stands before the S3 server and answers in its place, or changes its answers.
type s3Proxy struct {
	mu     sync.Mutex
	before func(r *http.Request) (status int, code string) // 0 to pass the request on
	after  func(r *http.Response) error
}

func (p *s3Proxy) set(before func(*http.Request) (int, string), after func(*http.Response) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.after = before, after
}

func newS3Proxy(t *testing.T, s *testbed.S3) *s3Proxy {
	t.Helper()
	useS3(t, s)
	to, err := url.Parse(s.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	p := &s3Proxy{}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host }, // Host stays: it is signed
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			after := p.after
			p.mu.Unlock()
			if after == nil {
				return nil
			}
			return after(r)
		},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		before := p.before
		p.mu.Unlock()
		if before != nil {
			if status, code := before(r); status != 0 {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(status)
				fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>made up</Message></Error>`, code)
				return
			}
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("AWS_ENDPOINT_URL", srv.URL)
	t.Setenv("AWS_ENDPOINT_URL_S3", srv.URL)
	return p
}

// noUploads fails the test where a multipart upload was left in a bucket.
func noUploads(t *testing.T, s *testbed.S3, bucket string) {
	t.Helper()
	left, err := filepath.Glob(s.BucketDir(bucket) + "/.sgwtmp/multipart/*/*")
	if err != nil || len(left) > 0 {
		t.Errorf("uploads are left: %q %v", left, err)
	}
}

func chunkPut(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, ".dat")
}

// TestS3Faults: what the archive's server does wrong while it is written.
func TestS3Faults(t *testing.T) {
	s3 := testbed.SharedS3(t)
	for _, c := range []struct {
		name string
		fail func(rng *rand.Rand, r *http.Request, n int) (int, string)
		code int
		want []string
	}{
		{"503 for 30 %", func(rng *rand.Rand, _ *http.Request, _ int) (int, string) {
			if rng.IntN(10) < 3 {
				return 503, "SlowDown"
			}
			return 0, ""
		}, 0, nil},
		{"503 for all from some moment on", func(_ *rand.Rand, r *http.Request, n int) (int, string) {
			if n > 1 {
				return 503, "ServiceUnavailable"
			}
			return 0, ""
		}, 20, []string{"not available", "--resume"}},
		{"expired token", func(_ *rand.Rand, r *http.Request, n int) (int, string) {
			if n > 1 {
				return 400, "ExpiredToken"
			}
			return 0, ""
		}, 12, []string{"the credentials have expired"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := newS3Proxy(t, s3)
			if c.code != 0 {
				t.Setenv("AWS_MAX_ATTEMPTS", "1")
			}
			f := newFaultBed(t, tiny)
			bucket := testbed.Bucket(t, s3)
			f.via = "s3://" + bucket + "/x"
			puts, mu := 0, sync.Mutex{}
			proxy.set(func(r *http.Request) (int, string) {
				mu.Lock()
				defer mu.Unlock()
				if chunkPut(r) {
					puts++
				}
				return c.fail(f.rng, r, puts)
			}, nil)
			f.must(f.start("--s3-path-style")(), c.code)
			wantText(t, f.out, c.want...)
			noUploads(t, s3, bucket)
			proxy.set(nil, nil)
			if c.code != 0 {
				f.nothingLeft()
				if c.code == 12 {
					return // it resumes as the other does
				}
				f.must(f.start("--s3-path-style", "--resume")(), 0)
			}
			noUploads(t, s3, bucket)
			f.oracle()
			mustExit(t, 0, "verify", "--s3-path-style", f.via)
		})
	}
}

// TestS3ReadFaults: answers that end early are gone on with, and changed bytes are noticed before a row of theirs is committed.
func TestS3ReadFaults(t *testing.T) {
	s3 := testbed.SharedS3(t)
	proxy := newS3Proxy(t, s3)
	f := newFaultBed(t, much)
	bucket := testbed.Bucket(t, s3)
	via := "s3://" + bucket + "/x"
	mustExit(t, 0, "dump", "--source", f.a.URL(f.src), "--to", via, "--s3-path-style", "--split-size", "300kB", "--compress", "none")
	restore := func(code int) string {
		t.Helper()
		f.dst = testbed.Database(t, f.b)
		return mustExit(t, code, "restore", "--from", via, "--target", f.b.URL(f.dst), "--s3-path-style", "--keep-ledger")
	}
	isData := func(r *http.Response) bool {
		return r.Request.Method == http.MethodGet && strings.Contains(r.Request.URL.Path, ".dat") && r.StatusCode < 300
	}
	cuts := 0
	var mu sync.Mutex
	proxy.set(nil, func(r *http.Response) error {
		mu.Lock()
		defer mu.Unlock()
		if !isData(r) || r.ContentLength < 1000 || f.rng.IntN(2) == 0 {
			return nil
		}
		cuts++
		r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength/2)) // and an end without an error
		return nil
	})
	restore(0)
	if cuts == 0 {
		t.Error("no answer was cut")
	}
	testbed.MustBeEqual(t, f.a, f.src, f.b, f.dst)
	// Every chunk of the log comes flipped.
	orders := ""
	for _, dat := range must(filepath.Glob(s3.BucketDir(bucket) + "/x/*.dat")) {
		if b, err := os.ReadFile(dat); err == nil && bytes.Contains(b, []byte("line 7")) {
			orders += filepath.Base(dat) + " "
		}
	}
	proxy.set(nil, func(r *http.Response) error {
		if !isData(r) || !strings.Contains(orders, filepath.Base(r.Request.URL.Path)+" ") {
			return nil
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		if i := bytes.Index(b, []byte("line 7")); i >= 0 {
			b[i]++
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		return nil
	})
	wantText(t, restore(31), "not those that were stored")
	if n, err := f.b.Value(t.Context(), f.dst, "SELECT count(*) FROM log WHERE line LIKE '%ine %'"); err != nil || n != "0" {
		t.Errorf("%s rows of damaged chunks were committed (%v)", n, err)
	}
	proxy.set(nil, nil)
	mustExit(t, 0, "restore", "--from", via, "--target", f.b.URL(f.dst), "--s3-path-style", "--resume")
	testbed.MustBeEqual(t, f.a, f.src, f.b, f.dst)
	f.nothingLeft()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
