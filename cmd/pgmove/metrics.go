package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/pace"
	"github.com/pgmove/pgmove/stream"
)

// publishEvery is how often metrics are written to a file and pushed. A variable for the tests alone.
var publishEvery = 15 * time.Second

// pushTimeout bounds one push.
const pushTimeout = 5 * time.Second

// meters are the metrics, and where they go beside /metrics.
type meters struct {
	tally    *pace.Tally
	registry *prometheus.Registry
	file     string
	pusher   *push.Pusher
	gateway  string // for messages: without a password

	mu      sync.Mutex
	ending  *ending
	success float64 // when a run last succeeded, in seconds since 1970; 0 where that isn't known
}

// newMeters reads the flags, and writes the file once: what is wrong with it is told before there is any work.
func newMeters(c *cli.Context, t *pace.Tally) (*meters, error) {
	m := &meters{tally: t, file: c.String("metrics-file")}
	m.register()
	if err := m.parseGateway(c.String("push-gateway")); err != nil {
		return nil, err
	}
	if m.file == "" {
		return m, nil
	}
	m.success = lastSuccess(m.file)
	if err := prometheus.WriteToTextfile(m.file, m.registry); err != nil {
		return nil, stream.Fail(stream.Usage, "--metrics-file: %s", err).WithHint("name a file in a folder that exists and may be written to")
	}
	return m, nil
}

// register makes the metrics known.
func (m *meters) register() {
	m.registry = prometheus.NewRegistry()
	m.registry.MustRegister(m)
}

// parseGateway reads http://host:9091, which may go on with /metrics/job/NAME and further pairs of label and value.
func (m *meters) parseGateway(text string) error {
	if text == "" {
		return nil
	}
	refuse := func(why string) error {
		return stream.Fail(stream.Usage, "--push-gateway: %s", why).WithHint("give a URL such as http://host:9091 or http://host:9091/metrics/job/nightly")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return refuse("a URL that begins with http:// or https:// is needed")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return refuse("the URL ends before any ? or #")
	}
	user := u.User
	u.User = nil
	prefix, group, found := strings.Cut(strings.TrimSuffix(u.Path, "/")+"/", "/metrics/job/")
	group = strings.TrimSuffix(group, "/")
	labels := []string{"pgmove"}
	if found {
		labels = strings.Split(group, "/")
	}
	u.Path = strings.TrimSuffix(prefix, "/")
	if len(labels)%2 == 0 || labels[0] == "" {
		return refuse("after /metrics/job/NAME come pairs of /LABEL/VALUE")
	}
	m.gateway = u.String()
	m.pusher = push.New(m.gateway, labels[0]).Gatherer(m.registry).Client(&http.Client{Timeout: pushTimeout})
	for i := 1; i < len(labels); i += 2 {
		m.pusher.Grouping(labels[i], labels[i+1])
	}
	if user != nil {
		password, _ := user.Password()
		m.pusher.BasicAuth(user.Username(), password)
	}
	if err := m.pusher.Error(); err != nil {
		return refuse(err.Error())
	}
	return nil
}

// publish writes and pushes the metrics as they are.
func (m *meters) publish(ctx context.Context) []error {
	var failed []error
	if m.file != "" {
		if err := prometheus.WriteToTextfile(m.file, m.registry); err != nil {
			failed = append(failed, fmt.Errorf("the metrics could not be written: %w", err))
		}
	}
	if m.pusher != nil {
		ctx, cancel := context.WithTimeout(ctx, pushTimeout)
		defer cancel()
		if err := m.pusher.AddContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
			failed = append(failed, fmt.Errorf("the metrics could not be pushed to %s: %w", m.gateway, err))
		}
	}
	return failed
}

// end adds what is known at the end alone.
func (m *meters) end(e ending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ending = &e
	if e.ExitCode == 0 {
		m.success = float64(time.Now().Unix())
	}
}

// lastSuccess reads what an earlier run left in the file: a run that fails must not make it forgotten.
func lastSuccess(file string) float64 {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), lastSuccessName+" "); ok {
			if t, err := strconv.ParseFloat(value, 64); err == nil && t > 0 {
				return t
			}
		}
	}
	return 0
}
