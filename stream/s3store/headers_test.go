package s3store_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
)

// seen are the headers of requests by what they ask for, the last of each kind.
type seen struct {
	mu sync.Mutex
	of map[string][]http.Header
}

func (s *seen) add(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string][]http.Header{}
	}
	op := operation(r)
	s.of[op] = append(s.of[op], r.Header.Clone())
}

// every reports whether all requests of an operation, and one at least, have the header's value.
func (s *seen) every(op, header, value string) bool {
	for _, h := range s.of[op] {
		if h.Get(header) != value {
			return false
		}
	}
	return len(s.of[op]) > 0
}

// TestHeaders: what is asked of the server, some of which the tests' server ignores.
func TestHeaders(t *testing.T) {
	const sse, key, class = "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Storage-Class"
	for name, c := range map[string]struct {
		change         func(*s3store.Options)
		sse, key       string
		class, sumType string
	}{
		"default":     {func(*s3store.Options) {}, "", "", "", "crc32"},
		"SSE-S3":      {func(o *s3store.Options) { o.SSE = "AES256" }, "AES256", "", "", "crc32"},
		"SSE-KMS":     {func(o *s3store.Options) { o.SSE = "aws:kms" }, "aws:kms", "", "", "crc32"},
		"KMS key":     {func(o *s3store.Options) { o.KMSKey = "alias/archive" }, "aws:kms", "alias/archive", "", "crc32"},
		"class":       {func(o *s3store.Options) { o.StorageClass = "STANDARD_IA" }, "", "", "STANDARD_IA", "crc32"},
		"crc32c":      {func(o *s3store.Options) { o.Checksum = "crc32c" }, "", "", "", "crc32c"},
		"sha1":        {func(o *s3store.Options) { o.Checksum = "sha1" }, "", "", "", "sha1"},
		"sha256":      {func(o *s3store.Options) { o.Checksum = "sha256" }, "", "", "", "sha256"},
		"crc64nvme":   {func(o *s3store.Options) { o.Checksum = "crc64nvme" }, "", "", "", "crc64nvme"},
		"all of them": {func(o *s3store.Options) { o.KMSKey, o.StorageClass, o.Checksum = "k", "GLACIER_IR", "sha256" }, "aws:kms", "k", "GLACIER_IR", "sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fault{}
			s := open(t, c.change, func(o *s3store.Options) { o.Transport = f.wrap })
			var got seen
			f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				got.add(r)
				return next.RoundTrip(r)
			})
			for key, body := range map[string]string{"small": "x", "middle": large[:2<<20], "large": large} {
				if err := s.Put(t.Context(), key, strings.NewReader(body)); err != nil {
					t.Fatal(err)
				}
			}
			if len(got.of["put"]) != 2 || len(got.of["part"]) != 3 {
				t.Fatalf("%d objects of one request, %d parts", len(got.of["put"]), len(got.of["part"]))
			}
			for _, op := range []string{"put", "create"} {
				for header, value := range map[string]string{sse: c.sse, key: c.key, class: c.class} {
					if !got.every(op, header, value) {
						t.Errorf("%s: %s is not %q: %v", op, header, value, got.of[op])
					}
				}
			}
			if !got.every("create", "X-Amz-Checksum-Algorithm", strings.ToUpper(c.sumType)) {
				t.Errorf("create: %v", got.of["create"])
			}
			for _, op := range []string{"put", "part"} {
				for _, h := range got.of[op] {
					if h.Get("X-Amz-Checksum-"+c.sumType) == "" && !strings.HasSuffix(h.Get("X-Amz-Trailer"), c.sumType) {
						t.Errorf("%s: no checksum %s among %v", op, c.sumType, h)
					}
				}
			}
			for op, headers := range got.of {
				for _, h := range headers {
					for name := range h {
						if low := strings.ToLower(name); strings.HasPrefix(low, "x-amz-acl") || strings.HasPrefix(low, "x-amz-grant") {
							t.Errorf("%s sends %s", op, name)
						}
					}
				}
			}
			if read(t, s, "large") != large {
				t.Error("an object came back changed")
			}
		})
	}
}

// TestChecksumWhenRequired: the SDK's own setting turns checksums off where none was asked for.
func TestChecksumWhenRequired(t *testing.T) {
	t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
	for _, sum := range []string{"", "sha256"} {
		s, f := openFake(t, func(o *s3store.Options) { o.Checksum = sum })
		for key, body := range map[string]string{"small": "x", "large": large} {
			if err := s.Put(t.Context(), key, strings.NewReader(body)); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range f.seen {
			op := operation(r)
			if op != "put" && op != "part" && op != "create" {
				continue
			}
			sent := strings.Contains(strings.ToLower(strings.Join(headerNames(r.Header), " ")), "x-amz-checksum-")
			if sent != (sum != "") {
				t.Errorf("checksum %q: %s sends %v", sum, op, headerNames(r.Header))
			}
		}
	}
}

func headerNames(h http.Header) []string {
	var names []string
	for name := range h {
		names = append(names, name)
	}
	return names
}

// TestOwner: every request of every kind names the account that must own the bucket.
func TestOwner(t *testing.T) {
	const header = "X-Amz-Expected-Bucket-Owner"
	var got seen
	f := &fault{}
	f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		got.add(r)
		return next.RoundTrip(r)
	})
	// The tests' server has accounts that are named like their keys.
	s := open(t, func(o *s3store.Options) { o.Owner, o.Transport = server.AccessKey(), f.wrap })
	for key, body := range map[string]string{"small": "x", "large": large} {
		if err := s.Put(t.Context(), key, strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, s, "small") != "x" {
		t.Error("an object came back changed")
	}
	// Complete is answered as if it came a second time, so that HEAD is asked; and parts fail, so that abort is.
	for _, op := range []string{"complete", "part"} {
		f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			got.add(r)
			if operation(r) != op {
				return next.RoundTrip(r)
			}
			if op == "complete" {
				resp, err := next.RoundTrip(r)
				if err != nil {
					return nil, err
				}
				_ = resp.Body.Close()
				return reply(r, 404, "NoSuchUpload")
			}
			return reply(r, 403, "AccessDenied")
		})
		err := s.Put(t.Context(), op, strings.NewReader(large))
		if (err == nil) != (op == "complete") {
			t.Errorf("%s: %v", op, err)
		}
	}
	_, err := s.List(t.Context(), "")
	if err == nil {
		err = s.Delete(t.Context(), "small")
	}
	if err == nil {
		_, err = s.Sweep(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
	for _, op := range []string{"put", "create", "part", "complete", "abort", "get", "HEAD", "GET", "DELETE"} {
		if !got.every(op, header, server.AccessKey()) {
			t.Errorf("%s: %v", op, got.of[op])
		}
	}
}

// TestOptionsRefused: options that make no sense are told before anything is asked of a server.
func TestOptionsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*s3store.Options)
		want   string
	}{
		"SSE":              {func(o *s3store.Options) { o.SSE = "aes" }, "encryption"},
		"key with AES256":  {func(o *s3store.Options) { o.SSE, o.KMSKey = "AES256", "k" }, "KMS key"},
		"class":            {func(o *s3store.Options) { o.StorageClass = "COLD" }, "storage class"},
		"GLACIER":          {func(o *s3store.Options) { o.StorageClass = "GLACIER" }, "GLACIER can't be read back"},
		"DEEP_ARCHIVE":     {func(o *s3store.Options) { o.StorageClass = "DEEP_ARCHIVE" }, "DEEP_ARCHIVE can't be read back"},
		"checksum":         {func(o *s3store.Options) { o.Checksum = "md5" }, "checksum"},
		"memory":           {func(o *s3store.Options) { o.Memory = 4 << 20 }, "memory"},
		"memory and parts": {func(o *s3store.Options) { o.Memory, o.PartSize = 64<<20, 64<<20 }, "memory"},
		"negative memory":  {func(o *s3store.Options) { o.Memory = -1 }, "memory"},
	} {
		opts := s3store.Options{Bucket: "bucket", Endpoint: "http://127.0.0.1:1"}
		c.change(&opts)
		_, err := s3store.Open(t.Context(), opts)
		if stream.KindOf(err) != stream.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
