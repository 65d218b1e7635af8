package s3store_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
	"github.com/pgmove/pgmove/stream/storetest"
	"github.com/pgmove/pgmove/stream/watch"
)

func TestConformance(t *testing.T) {
	for prefix, keys := range map[string]int{"some/prefix": 1100, "": 10} {
		t.Run("prefix="+prefix, func(t *testing.T) {
			in := make(map[stream.Store]string)
			storetest.Exercise(t, func(t *testing.T) stream.Store {
				var bucket string
				s := open(t, func(o *s3store.Options) { bucket, o.Prefix = o.Bucket, prefix })
				in[s] = bucket
				return s
			}, storetest.Residue(func(t *testing.T, s stream.Store) []string { return uploads(t, in[s]) }), storetest.Keys(keys))
		})
	}
}

func TestConformanceWatched(t *testing.T) {
	t.Parallel() // beside the others that mostly wait
	storetest.Exercise(t, func(t *testing.T) stream.Store { return watch.New(open(t)) },
		storetest.Awaits(), storetest.Keys(50))
}

func TestOpenFailures(t *testing.T) {
	bucket := newBucket(t)
	for name, c := range map[string]struct {
		change func(*s3store.Options)
		env    map[string]string
		kind   stream.Kind
		want   string
	}{
		"missing bucket": {
			change: func(o *s3store.Options) { o.Bucket = "not-there" },
			kind:   stream.Preflight, want: "s3://not-there: no such bucket",
		},
		"unknown key": {
			env:  map[string]string{"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"},
			kind: stream.Denied, want: "access key is not known",
		},
		"wrong secret": {
			env:  map[string]string{"AWS_SECRET_ACCESS_KEY": "canary-secret"},
			kind: stream.Denied, want: "secret key is not the right one",
		},
		"no credentials": {
			env:  map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
			kind: stream.Denied, want: "no AWS credentials",
		},
		"unknown profile": {
			change: func(o *s3store.Options) { o.Profile = "nobody" },
			kind:   stream.Usage, want: "nobody",
		},
		"password in the endpoint": {
			change: func(o *s3store.Options) { o.Endpoint = "https://user:canary-secret@host" },
			kind:   stream.Usage, want: "endpoint",
		},
		"password in the environment's endpoint": {
			env:  map[string]string{"AWS_ENDPOINT_URL_S3": "https://user:canary-secret@host"},
			kind: stream.Usage, want: "endpoint",
		},
		"bucket's name": {
			change: func(o *s3store.Options) { o.Bucket = "../etc" },
			kind:   stream.Usage, want: "bucket",
		},
		"prefix": {
			change: func(o *s3store.Options) { o.Prefix = "a/../b" },
			kind:   stream.Usage, want: "prefix",
		},
		"part size": {
			change: func(o *s3store.Options) { o.PartSize = 1000 },
			kind:   stream.Usage, want: "part size",
		},
		"concurrency": {
			change: func(o *s3store.Options) { o.Concurrency = -1 },
			kind:   stream.Usage, want: "out of bounds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			opts := s3store.Options{Bucket: bucket, PathStyle: true}
			if c.change != nil {
				c.change(&opts)
			}
			start := time.Now()
			_, err := s3store.Open(t.Context(), opts)
			if err == nil {
				t.Fatal("Open succeeded")
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
			if stream.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("kind %v: %v; want kind %v and %q", stream.KindOf(err), err, c.kind, c.want)
			}
			for _, secret := range []string{"canary-secret", server.SecretKey()} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("a secret in %v", err)
				}
			}
		})
	}
}

// TestUnreachable: a server that isn't there, and one that takes connections and says nothing, are
// outages within ten seconds.
func TestUnreachable(t *testing.T) {
	t.Parallel() // beside the others that mostly wait
	for name, listens := range map[string]bool{"closed": false, "silent": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if listens {
				defer l.Close()
			} else if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = s3store.Open(t.Context(), s3store.Options{Bucket: "bucket", Endpoint: "http://" + l.Addr().String(), PathStyle: true})
			if stream.KindOf(err) != stream.Outage || time.Since(start) > 12*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			if !listens && !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("the reason is not told: %v", err)
			}
		})
	}
}

// TestOpenCancelled: Open ends with its ctx.
func TestOpenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s3store.Open(ctx, s3store.Options{Bucket: newBucket(t), PathStyle: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}

// TestRegion: the region is asked of the bucket where no configuration tells it, on AWS.
func TestRegion(t *testing.T) {
	for _, v := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(v, "")
	}
	var hosts []string
	answer := func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		resp := &http.Response{StatusCode: http.StatusMovedPermanently, Header: http.Header{}, Body: http.NoBody, Request: r}
		resp.Header.Set("X-Amz-Bucket-Region", "eu-central-1")
		if strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/") {
			resp.StatusCode = http.StatusOK
		}
		return resp, nil
	}
	_, err := s3store.Open(t.Context(), s3store.Options{Bucket: "bucket", Transport: func(http.RoundTripper) http.RoundTripper { return trip(answer) }})
	if err != nil || len(hosts) != 2 || hosts[1] != "bucket.s3.eu-central-1.amazonaws.com" {
		t.Errorf("asked %q: %v", hosts, err)
	}
}

func TestParseLocation(t *testing.T) {
	for location, want := range map[string][2]string{
		"s3://bucket":            {"bucket", ""},
		"s3://bucket/":           {"bucket", ""},
		"s3://my.bucket-1/a":     {"my.bucket-1", "a"},
		"s3://bucket/a/b.c_D/":   {"bucket", "a/b.c_D"},
		"s3://bucket/2024-11-21": {"bucket", "2024-11-21"},
	} {
		bucket, prefix, err := s3store.ParseLocation(location)
		if err != nil || bucket != want[0] || prefix != want[1] {
			t.Errorf("ParseLocation(%q) = %q, %q, %v", location, bucket, prefix, err)
		}
	}
	for _, location := range []string{
		"", "bucket", "s3:bucket", "s3:/bucket", "S3://bucket", "https://bucket", "s3://", "s3:///a", "s3://a", "s3://Bucket/a",
		"s3://bucket//a", "s3://bucket/a//b", "s3://bucket/a//", "s3://bucket/../a", "s3://bucket/./a", "s3://bucket/a b", "s3://bucket/a?b=c",
		"s3://bucket/a#b", "s3://key:secret@bucket/a", "s3://bucket\n/a", "s3://-bucket/a", "s3://buc..ket/a", "s3://" + strings.Repeat("b", 64),
	} {
		if bucket, prefix, err := s3store.ParseLocation(location); stream.KindOf(err) != stream.Usage {
			t.Errorf("ParseLocation(%q) = %q, %q, %v, want an error of usage", location, bucket, prefix, err)
		}
	}
}

// TestForeignObjects: others' objects in the bucket are not listed, nor those of a longer prefix.
func TestForeignObjects(t *testing.T) {
	var bucket string
	s := open(t, func(o *s3store.Options) { bucket, o.Prefix = o.Bucket, "p" })
	for _, key := range []string{"p/mine", "p2/other", "other", "p/a b", "p/~x", "p/ü", "p/\x01", "p/100%", "p/A+B"} {
		_, err := raw().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(key), Body: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.List(t.Context(), "")
	if err != nil || len(found) != 2 || found[0] != (stream.ObjectInfo{Key: "A+B", Size: 1}) || found[1].Key != "mine" {
		t.Errorf("List = %v, %v", found, err)
	}
}
