package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy stands between a client and a server and spoils what passes. Faults of the network's kind are
// toxiproxy's; what needs to know the connections, or what is said on them, is a Relay's.
type Proxy struct {
	proxy *toxiproxy.Proxy
	front *Relay
}

var quiet sync.Once

// NewProxy starts a proxy before a server, for the test.
func NewProxy(tb testing.TB, upstream string) *Proxy {
	tb.Helper()
	quiet.Do(func() { zerolog.SetGlobalLevel(zerolog.Disabled) }) // toxics log to the global logger, whatever they are given
	logger := zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), logger)
	p := &Proxy{proxy: toxiproxy.NewProxy(server, tb.Name(), "127.0.0.1:0", upstream)}
	if err := p.proxy.Start(); err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	p.front = NewRelay(tb, p.proxy.Listen)
	tb.Cleanup(p.Close)
	return p
}

// Close ends the proxy and all its connections.
func (p *Proxy) Close() {
	p.front.Close()
	p.proxy.Stop()
}

// Relay is the proxy's own part.
func (p *Proxy) Relay() *Relay { return p.front }

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.front.Addr() }

// Toxic adds one of toxiproxy's toxics to all connections: its type, "upstream" (to the server) or "downstream", and
// its attributes.
func (p *Proxy) Toxic(tb testing.TB, kind, stream string, attributes map[string]any) {
	tb.Helper()
	b, err := json.Marshal(map[string]any{"type": kind, "stream": stream, "attributes": attributes})
	if err == nil {
		_, err = p.proxy.Toxics.AddToxicJson(bytes.NewReader(b))
	}
	if err != nil {
		tb.Fatalf("testbed: toxic %s: %v", kind, err)
	}
}

// Heal removes all toxics.
func (p *Proxy) Heal() { p.proxy.Toxics.ResetToxics(context.Background()) }

// URLThrough is a database's connection URL through a proxy or a relay at the address.
func (p *Postgres) URLThrough(addr, db string) string {
	u, err := url.Parse(p.URL(db))
	if err != nil {
		panic(err) // URL makes URLs
	}
	u.Host = addr
	return u.String()
}

// Addr is where the cluster listens.
func (p *Postgres) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// Verdict is what becomes of bytes on their way to the server, and of their connection.
type Verdict int

// The verdicts.
const (
	Pass      Verdict = iota
	CutBefore         // the server never gets them
	CutAfter          // the server gets them, and answers; the client gets no answer
	HangUp            // the server never gets them, and both see an orderly end
)

// Relay passes connections on to a server.
type Relay struct {
	listener net.Listener
	upstream string
	wg       sync.WaitGroup
	closed   chan struct{}
	once     sync.Once

	mu    sync.Mutex
	pairs map[*pair]bool
	down  bool
	idle  time.Duration
	judge func(toServer []byte) Verdict
	total atomic.Int64
}

// pair is one connection.
type pair struct {
	client, server net.Conn
	frozen, mute   atomic.Bool  // mute: cut at the server's next byte
	last           atomic.Int64 // when a byte passed, in nanoseconds
}

func (p *pair) cut() {
	for _, c := range []net.Conn{p.client, p.server} {
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		_ = c.Close()
	}
}

// NewRelay starts a relay before a server, for the test.
func NewRelay(tb testing.TB, upstream string) *Relay {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	r := &Relay{listener: l, upstream: upstream, pairs: map[*pair]bool{}, closed: make(chan struct{})}
	r.wg.Go(r.accept)
	tb.Cleanup(r.Close)
	return r
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Passed counts the bytes that were passed on, both ways.
func (r *Relay) Passed() int64 { return r.total.Load() }

// Close ends the relay and all its connections.
func (r *Relay) Close() {
	r.once.Do(func() { close(r.closed) })
	_ = r.listener.Close()
	r.Cut()
	r.wg.Wait()
}

// Cut resets all connections; new ones pass.
func (r *Relay) Cut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		p.cut()
	}
	return len(r.pairs)
}

// Freeze has all connections hang as they are, without a word to either side; new ones pass. It returns how many hang.
func (r *Relay) Freeze() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		p.frozen.Store(true)
	}
	return len(r.pairs)
}

// Down refuses connections, and cuts those that are there; or no more.
func (r *Relay) Down(down bool) {
	r.mu.Lock()
	r.down = down
	r.mu.Unlock()
	if down {
		r.Cut()
	}
}

// CutIdle cuts connections on which no byte passed for d.
func (r *Relay) CutIdle(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = d
}

// Judge has f decide about all that is sent to the server.
func (r *Relay) Judge(f func(toServer []byte) Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judge = f
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		down := r.down
		r.mu.Unlock()
		var server net.Conn
		if !down {
			server, err = net.Dial("tcp", r.upstream)
		}
		p := &pair{client: client, server: server}
		if down || err != nil {
			p.server = client
			p.cut()
			continue
		}
		p.last.Store(time.Now().UnixNano())
		r.mu.Lock()
		r.pairs[p] = true
		r.mu.Unlock()
		r.wg.Go(func() { r.pass(p) })
	}
}

// pass passes bytes until one side closes.
func (r *Relay) pass(p *pair) {
	var wg sync.WaitGroup
	wg.Go(func() { r.copy(p, p.server, p.client, true) })
	wg.Go(func() { r.copy(p, p.client, p.server, false) })
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for open := true; open; {
		select {
		case <-done:
			open = false
		case <-t.C:
			r.mu.Lock()
			idle := r.idle
			r.mu.Unlock()
			if idle > 0 && time.Since(time.Unix(0, p.last.Load())) > idle {
				p.cut()
			}
		}
	}
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
}

func (r *Relay) copy(p *pair, dst, src net.Conn, up bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if p.frozen.Load() {
			<-r.closed // nothing is read any more, and nothing said
			return
		}
		verdict := Pass
		r.mu.Lock()
		judge := r.judge
		r.mu.Unlock()
		if up && n > 0 && judge != nil {
			verdict = judge(buf[:n])
		}
		if verdict == CutBefore {
			p.cut()
			return
		}
		if verdict == HangUp {
			n, err = 0, io.EOF
		}
		if n > 0 {
			p.last.Store(time.Now().UnixNano())
			r.total.Add(int64(n))
			if verdict == CutAfter {
				p.mute.Store(true)
			}
			if !up && p.mute.Load() {
				p.cut()
				return
			}
			if _, werr := dst.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			_ = p.client.Close()
			_ = p.server.Close()
			return
		}
	}
}

// String tells who it is before.
func (r *Relay) String() string { return fmt.Sprintf("relay to %s", r.upstream) }
