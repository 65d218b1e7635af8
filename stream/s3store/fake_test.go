package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/stream/s3store"
)

// fakeS3 is as much of S3 as Open and Put need, within this process: it takes any signature, and keeps objects
// unless it only counts them.
type fakeS3 struct {
	counts bool
	// before may answer in its place; nil to go on.
	before func(*http.Request) *http.Response

	mu      sync.Mutex
	objects map[string]string
	parts   map[string]map[int]string
	seen    []*http.Request // without their bodies
	begun   int
	puts    int
}

func (f *fakeS3) wrap(http.RoundTripper) http.RoundTripper { return f }

func (f *fakeS3) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	// Bare of all that holds a part's memory.
	seen := r.Clone(context.Background())
	seen.Body, seen.GetBody = nil, nil
	f.seen = append(f.seen, seen)
	before := f.before
	f.mu.Unlock()
	if before != nil {
		if resp := before(r); resp != nil {
			return resp, nil
		}
	}
	var body []byte
	if r.Body != nil {
		var err error
		if f.counts {
			_, err = io.Copy(io.Discard, r.Body)
		} else {
			body, err = io.ReadAll(r.Body)
		}
		if err := errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	path, id := r.URL.Path, q.Get("uploadId")
	const etag = "x"
	switch operation(r) {
	case "create":
		f.begun++
		id = fmt.Sprintf("upload-%d", f.begun)
		f.parts[id] = map[int]string{}
		return answer(r, "<InitiateMultipartUploadResult><UploadId>"+id+"</UploadId></InitiateMultipartUploadResult>", ""), nil
	case "part":
		n, err := strconv.Atoi(q.Get("partNumber"))
		if err != nil || f.parts[id] == nil {
			return reply(r, 404, "NoSuchUpload")
		}
		f.parts[id][n] = string(body)
		return answer(r, "", etag), nil
	case "complete":
		whole := ""
		for n := 1; n <= len(f.parts[id]); n++ {
			whole += f.parts[id][n]
		}
		f.objects[path] = whole
		delete(f.parts, id)
		f.puts++
		return answer(r, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>", ""), nil
	case "abort":
		delete(f.parts, id)
		return answer(r, "", ""), nil
	case "put":
		f.objects[path] = string(body)
		f.puts++
		return answer(r, "", etag), nil
	}
	if q.Has("list-type") {
		return answer(r, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", ""), nil
	}
	return reply(r, 501, "NotImplemented")
}

// answer is a response of status 200.
func answer(r *http.Request, body, etag string) *http.Response {
	h := http.Header{"Content-Type": {"application/xml"}}
	if etag != "" {
		h.Set("ETag", `"`+etag+`"`)
	}
	return &http.Response{
		StatusCode: 200, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// openFake opens a store on a fake server.
func openFake(t *testing.T, change ...func(*s3store.Options)) (*s3store.Store, *fakeS3) {
	t.Helper()
	f := &fakeS3{objects: map[string]string{}, parts: map[string]map[int]string{}}
	opts := s3store.Options{Bucket: "bucket", PathStyle: true, PartSize: 5 << 20, Transport: f.wrap}
	for _, c := range change {
		c(&opts)
	}
	s, err := s3store.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, f
}

// set changes what may answer before.
func (f *fakeS3) set(before func(*http.Request) *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// keyOf is the access key ID that a request is signed with.
func keyOf(r *http.Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	return key
}
