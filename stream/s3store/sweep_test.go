package s3store_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
)

func TestSweep(t *testing.T) {
	var bucket string
	s := open(t, func(o *s3store.Options) { bucket, o.Prefix = o.Bucket, "p" })
	for _, key := range []string{"p/a", "p/b", "p/b", "p2/c"} {
		if _, err := raw().CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: aws.String(key)}); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := s.Incomplete(t.Context()); err != nil || !slices.Equal(keys, []string{"a", "b", "b"}) {
		t.Errorf("Incomplete = %q, %v", keys, err)
	}
	for _, want := range []int{3, 0} {
		if n, err := s.Sweep(t.Context()); n != want || err != nil {
			t.Errorf("Sweep = %d, %v, want %d", n, err, want)
		}
	}
	if left := uploads(t, bucket); len(left) != 1 || left[0] != "p2/c" {
		t.Errorf("after the sweep there are %q", left)
	}
	if keys, err := s.Incomplete(t.Context()); err != nil || len(keys) > 0 {
		t.Errorf("Incomplete = %q, %v", keys, err)
	}
}

// TestSweepDenied: a server or a policy that doesn't let us look is told from other failures, so that a run
// can go on.
func TestSweepDenied(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	s, f, _ := openFaulty(t)
	for _, c := range []struct {
		status     int
		code, want string
		kind       stream.Kind
	}{
		{403, "AccessDenied", "s3:ListBucketMultipartUploads", stream.Denied},
		{501, "NotImplemented", "the server can't", stream.Denied},
		{405, "MethodNotAllowed", "the server can't", stream.Denied},
		{503, "SlowDown", "fewer requests", stream.Outage},
		{404, "NoSuchBucket", "no such bucket", stream.Preflight},
	} {
		f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if r.URL.Query().Has("uploads") {
				return reply(r, c.status, c.code)
			}
			return next.RoundTrip(r)
		})
		_, err := s.Sweep(t.Context())
		_, again := s.Incomplete(t.Context())
		for _, err := range []error{err, again} {
			var failure *stream.Failure
			if !errors.As(err, &failure) || failure.Kind != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d %s: %v", c.status, c.code, err)
			}
		}
	}
}
