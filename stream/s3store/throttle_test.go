package s3store_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
)

// TestThrottling: a server that asks for fewer requests, of three in ten, gets them, with pauses that
// are not the same for all.
func TestThrottling(t *testing.T) {
	t.Parallel() // most of it is waiting
	s, f := openFake(t)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	refused := map[string]time.Time{} // when, by the SDK's name of the call
	var pauses []time.Duration
	f.set(func(r *http.Request) *http.Response {
		mu.Lock()
		defer mu.Unlock()
		call := r.Header.Get("Amz-Sdk-Invocation-Id")
		if at, ok := refused[call]; ok {
			pauses = append(pauses, time.Since(at))
			delete(refused, call)
		}
		if random.IntN(10) >= 3 {
			return nil
		}
		resp, _ := reply(r, 503, "SlowDown")
		refused[call] = time.Now()
		return resp
	})
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			body := "small"
			if i%4 == 0 {
				body = large
			}
			if err := s.Put(t.Context(), fmt.Sprint(i), strings.NewReader(body)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(f.objects) != 20 {
		t.Errorf("%d objects", len(f.objects))
	}
	slices.Sort(pauses)
	if len(pauses) < 6 || pauses[len(pauses)-1]-pauses[0] < 200*time.Millisecond {
		t.Errorf("pauses %v, want many that differ", pauses)
	}
}

// TestThrottledForEver: a server that never has time is an outage. Of many uploads each has as many attempts as one alone: so
// many retries are more than the quota that the SDK has by default.
func TestThrottledForEver(t *testing.T) {
	const attempts, puts = 3, 60
	t.Setenv("AWS_MAX_ATTEMPTS", fmt.Sprint(attempts))
	s, f := openFake(t)
	var sent atomic.Int64
	f.set(func(r *http.Request) *http.Response {
		sent.Add(1)
		resp, _ := reply(r, 503, "SlowDown")
		resp.Header.Set("X-Amz-Request-Id", "4A7F00")
		return resp
	})
	var group sync.WaitGroup
	for i := range puts {
		group.Go(func() {
			err := s.Put(t.Context(), fmt.Sprint(i), strings.NewReader("x"))
			if stream.KindOf(err) != stream.Outage || !strings.HasSuffix(err.Error(), ": made up (request 4A7F00)") {
				t.Errorf("kind %v: %v", stream.KindOf(err), err)
			}
		})
	}
	group.Wait()
	if sent.Load() != attempts*puts {
		t.Errorf("%d requests, want %d", sent.Load(), attempts*puts)
	}
}

// TestLostComplete: a server that completed an upload and answers with an error did complete it.
func TestLostComplete(t *testing.T) {
	t.Parallel() // beside the others that mostly wait
	for _, status := range []int{500, 503} {
		s, f, bucket := openFaulty(t)
		first := true
		f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if operation(r) != "complete" || !first {
				return next.RoundTrip(r)
			}
			first = false
			resp, err := next.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			_ = resp.Body.Close()
			return reply(r, status, "InternalError")
		})
		if err := s.Put(t.Context(), "k", strings.NewReader(large)); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if read(t, s, "k") != large || len(uploads(t, bucket)) > 0 {
			t.Errorf("%d: not whole, or parts are left", status)
		}
	}
}

// TestErrorTexts: what a user reads is one line of the server's own words.
func TestErrorTexts(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	const id = "4A7F9C0D1E2B3A45"
	for _, c := range []struct {
		status     int
		code, want string
	}{
		{403, "AccessDenied", "s3://bucket/k: writing: access is denied: AccessDenied: made up (request " + id + ")"},
		{503, "SlowDown", "s3://bucket/k: writing: the server asks for fewer requests: SlowDown: made up (request " + id + ")"},
		{400, "ExpiredToken", "s3://bucket/k: writing: the credentials have expired: ExpiredToken: made up"},
		{400, "Odd\nCode", "s3://bucket/k: writing: the server refuses the request: Odd Code: made up"},
		{0, "", "s3://bucket/k: writing: the connection failed: no route"},
	} {
		s, f := openFake(t, func(o *s3store.Options) {
			next := o.Transport
			o.Transport = func(r http.RoundTripper) http.RoundTripper {
				inner := next(r)
				return trip(func(r *http.Request) (*http.Response, error) {
					if c.status == 0 && r.Method == http.MethodPut {
						return nil, fmt.Errorf("no route")
					}
					return inner.RoundTrip(r)
				})
			}
		})
		f.set(func(r *http.Request) *http.Response {
			resp, _ := reply(r, c.status, c.code)
			resp.Header.Set("X-Amz-Request-Id", id)
			resp.Header.Set("X-Amz-Id-2", "a-long-host-id")
			return resp
		})
		err := s.Put(t.Context(), "k", strings.NewReader("x"))
		if err == nil || err.Error() != c.want {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
}
