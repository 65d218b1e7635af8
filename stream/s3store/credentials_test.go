package s3store_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
)

// fakeSTS hands out keys that live for a while; each answer has new ones.
type fakeSTS struct {
	*httptest.Server
	life time.Duration

	mu      sync.Mutex
	actions []string // of the requests so far, each with the role it asks for
	fails   string   // an error code to answer with
	expires map[string]time.Time
}

// newSTS starts the fake, and has the SDK ask it and nobody else for credentials.
func newSTS(t *testing.T, life time.Duration) *fakeSTS {
	t.Helper()
	f := &fakeSTS{life: life, expires: map[string]time.Time{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", f.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	return f
}

func (f *fakeSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	action := r.Form.Get("Action")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.actions = append(f.actions, action+" "+r.Form.Get("RoleArn")+" "+keyOf(r)+r.Form.Get("WebIdentityToken"))
	w.Header().Set("Content-Type", "text/xml")
	if f.fails != "" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>no role for you</Message></Error><RequestId>R-1</RequestId></ErrorResponse>", f.fails)
		return
	}
	key := fmt.Sprintf("ASIAFAKE%d", len(f.actions))
	until := time.Now().Add(f.life)
	f.expires[key] = until
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>`+
		`<AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>canary-secret</SecretAccessKey><SessionToken>token-of-%[2]s</SessionToken>`+
		`<Expiration>%[3]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, action, key, until.UTC().Format(time.RFC3339Nano))
}

func (f *fakeSTS) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.actions)
}

// expired reports whether S3 would refuse a request for the age of its credentials.
func (f *fakeSTS) expired(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	until, known := f.expires[keyOf(r)]
	return !known || time.Now().After(until) || r.Header.Get("X-Amz-Security-Token") != "token-of-"+keyOf(r)
}

// write writes a file of the test's, and points a variable at it.
func write(t *testing.T, variable, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(variable, path)
}

// TestRoles: roles of profiles and of web identities are assumed by the SDK's own chain, and what they
// yield signs the requests; a server, a region or a profile that is given doesn't get in the way.
func TestRoles(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*testing.T)
		profile string
		want    string
	}{
		"role of a profile": {
			func(t *testing.T) {
				write(t, "AWS_CONFIG_FILE", "[profile mover]\nrole_arn = arn:aws:iam::123456789012:role/mover\nsource_profile = base\n"+
					"[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = canary-base\n")
			},
			"mover", "AssumeRole arn:aws:iam::123456789012:role/mover AKIABASE",
		},
		"role of AWS_PROFILE": {
			func(t *testing.T) {
				write(t, "AWS_CONFIG_FILE", "[profile mover]\nrole_arn = arn:aws:iam::123456789012:role/mover\nsource_profile = base\n"+
					"[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = canary-base\n")
				t.Setenv("AWS_PROFILE", "mover")
			},
			"", "AssumeRole arn:aws:iam::123456789012:role/mover AKIABASE",
		},
		"web identity": {
			func(t *testing.T) {
				write(t, "AWS_WEB_IDENTITY_TOKEN_FILE", "token-of-the-pod")
				t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
			},
			"", "AssumeRoleWithWebIdentity arn:aws:iam::123456789012:role/pod token-of-the-pod",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sts := newSTS(t, time.Hour)
			c.prepare(t)
			s, f := openFake(t, func(o *s3store.Options) {
				o.Profile, o.Endpoint, o.Region = c.profile, "http://s3.example:9000", "eu-west-1"
			})
			for key, body := range map[string]string{"small": "x", "large": large} {
				if err := s.Put(t.Context(), key, strings.NewReader(body)); err != nil {
					t.Fatal(err)
				}
			}
			if len(sts.actions) != 1 || sts.actions[0] != c.want {
				t.Errorf("asked for %q, want %q", sts.actions, c.want)
			}
			for _, r := range f.seen {
				if sts.expired(r) || keyOf(r) != "ASIAFAKE1" || r.URL.Host != "s3.example:9000" {
					t.Errorf("%s %s is signed by %s", r.Method, r.URL, keyOf(r))
				}
			}
		})
	}
}

// TestRoleDenied: a role that may not be assumed is told as that.
func TestRoleDenied(t *testing.T) {
	sts := newSTS(t, time.Hour)
	sts.fails = "AccessDenied"
	write(t, "AWS_WEB_IDENTITY_TOKEN_FILE", "canary-token")
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
	_, err := s3store.Open(t.Context(), s3store.Options{Bucket: "bucket"})
	if stream.KindOf(err) != stream.Denied || !strings.Contains(err.Error(), "no role for you") || strings.Contains(err.Error(), "canary") || len(err.Error()) > 150 {
		t.Errorf("Open: %v", err)
	}
}

// TestExpiry: credentials that expire while the store is in use are renewed in time, as often as needed, and
// requests are never signed with old ones.
func TestExpiry(t *testing.T) {
	const life, pause = 1500 * time.Millisecond, 50 * time.Millisecond
	sts := newSTS(t, life)
	write(t, "AWS_WEB_IDENTITY_TOKEN_FILE", "token")
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
	s, f := openFake(t)
	refused := 0
	f.set(func(r *http.Request) *http.Response {
		if sts.expired(r) {
			refused++
			resp, _ := reply(r, 400, "ExpiredToken")
			return resp
		}
		return nil
	})
	start := time.Now()
	for n := 0; time.Since(start) < 3*life; n++ {
		if err := s.Put(t.Context(), fmt.Sprint(n), strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
	}
	if n, most := sts.count(), int(time.Since(start)/life)+2; n < 3 || n > most {
		t.Errorf("%d renewals in %v", n, time.Since(start))
	}
	if refused > 3 { // one on the verge now and then
		t.Errorf("%d requests were signed with expired credentials", refused)
	}
}

// TestExpiredToken: a server that says in the middle of an upload that the credentials have expired, before their time, gets
// new ones; they are asked for once, although several parts learn it at the same time.
func TestExpiredToken(t *testing.T) {
	for _, op := range []string{"put", "create", "part", "complete"} {
		t.Run(op, func(t *testing.T) {
			sts := newSTS(t, time.Hour)
			write(t, "AWS_WEB_IDENTITY_TOKEN_FILE", "token")
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
			s, f := openFake(t, func(o *s3store.Options) { o.Concurrency = 3 })
			refused := 0
			var mu sync.Mutex
			f.set(func(r *http.Request) *http.Response {
				// From some moment on the first key is worth nothing any more.
				mu.Lock()
				defer mu.Unlock()
				if operation(r) == op && keyOf(r) == "ASIAFAKE1" && r.URL.Query().Get("partNumber") != "1" {
					refused++
					resp, _ := reply(r, 400, "ExpiredToken")
					return resp
				}
				return nil
			})
			body := large + large
			if op == "put" {
				body = "small"
			}
			if err := s.Put(t.Context(), "k", strings.NewReader(body)); err != nil {
				t.Fatal(err)
			}
			if f.objects["/bucket/k"] != body {
				t.Error("the object is not what was put")
			}
			if sts.count() != 2 || refused == 0 {
				t.Errorf("%d times credentials, %d requests refused", sts.count(), refused)
			}
			// Where there are no others, it ends.
			sts.mu.Lock()
			sts.fails = "AccessDenied"
			sts.mu.Unlock()
			f.set(func(r *http.Request) *http.Response {
				resp, _ := reply(r, 400, "ExpiredToken")
				return resp
			})
			start := time.Now()
			err := s.Put(t.Context(), "k", strings.NewReader("x"))
			if stream.KindOf(err) != stream.Denied || !strings.Contains(err.Error(), "can't be renewed") || !strings.Contains(err.Error(), "no role for you") ||
				strings.Contains(err.Error(), "canary") || time.Since(start) > 10*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		})
	}
}

// TestExpiredTokenOnServer is the same against the tests' server, whose keys a program hands out, with a
// session token that is another one each time.
func TestExpiredTokenOnServer(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	script := filepath.Join(t.TempDir(), "keys")
	text := fmt.Sprintf("#!/bin/sh\necho x >>'%s'\nprintf '{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\",\"SessionToken\":\"token-%%d\"}' $(wc -l <'%s')\n",
		calls, server.AccessKey(), server.SecretKey(), calls)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	write(t, "AWS_CONFIG_FILE", "[profile program]\ncredential_process = "+script+"\n")
	f := &fault{}
	f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) { return sign(t, r, next) })
	s := open(t, func(o *s3store.Options) { o.Profile, o.Transport = "program", f.wrap })
	f.set(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if operation(r) == "part" && r.URL.Query().Get("partNumber") != "1" && r.Header.Get("X-Amz-Security-Token") == "token-1" {
			return reply(r, 400, "ExpiredToken")
		}
		return sign(t, r, next)
	})
	if err := s.Put(t.Context(), "k", strings.NewReader(large)); err != nil {
		t.Fatal(err)
	}
	if read(t, s, "k") != large {
		t.Error("the object came back changed")
	}
	if b, err := os.ReadFile(calls); err != nil || string(b) != "x\nx\n" {
		t.Errorf("the program was called so often: %q, %v", b, err)
	}
}

// sign sends a request on without its session token, of which the tests' server knows none.
func sign(t *testing.T, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	bare := r.Clone(r.Context())
	bare.Header.Del("X-Amz-Security-Token")
	keys := aws.Credentials{AccessKeyID: server.AccessKey(), SecretAccessKey: server.SecretKey()}
	err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(), keys, bare,
		r.Header.Get("X-Amz-Content-Sha256"), "s3", server.Region(), time.Now())
	if err != nil {
		t.Error(err)
	}
	return next.RoundTrip(bare)
}
