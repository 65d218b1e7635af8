package s3store

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// slow yields n bytes, one in every pause.
type slow struct {
	n     int
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	s.n--
	time.Sleep(s.pause)
	p[0] = 'x'
	return 1, nil
}

// TestSilence: a connection on which nothing moves is given up; one that is slow is not, whichever
// way its bytes go.
func TestSilence(t *testing.T) {
	const limit = 400 * time.Millisecond
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/mute":
			<-release
		case "/stalls":
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
			<-release
		case "/slow":
			for range 10 {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(limit / 4)
			}
		default:
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}))
	defer server.Close()
	defer close(release)
	client := newHTTPClient(limit).Freeze()
	defer client.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	do := func(path string, body io.Reader) error {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPut, server.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return err
	}
	for path, body := range map[string]io.Reader{"/slow": nil, "/slow-upload": &slow{10, limit / 4}} {
		if err := do(path, body); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/mute", "/stalls"} {
		start := time.Now()
		err := do(path, nil)
		if kind, _ := classify(err); err == nil || kind != stream.Outage || time.Since(start) > 5*limit {
			t.Errorf("%s ended after %v, kind %v: %v", path, time.Since(start), kind, err)
		}
	}
}
