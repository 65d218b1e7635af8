package awsauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// environment gives the SDK credentials of its own, and none of this machine's.
func environment(t *testing.T) {
	t.Helper()
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "CANARY-key", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-central-1",
		"AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_ROLE_ARN": ""} {
		t.Setenv(k, v)
	}
}

// keeper is a Secrets Manager that holds some secrets, and returns what it was asked.
func keeper(t *testing.T, secrets map[string]string) *atomic.Pointer[http.Request] {
	t.Helper()
	var last atomic.Pointer[http.Request]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r.Clone(context.Background()))
		var in struct{ SecretId string }
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &in) != nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		refuse := func(status int, code string) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"__type":%q,"message":"it is refused"}`, code)
		}
		switch text, ok := secrets[in.SecretId]; {
		case strings.HasPrefix(in.SecretId, "code:"):
			refuse(400, in.SecretId[5:])
		case in.SecretId == "broken":
			w.WriteHeader(500)
		case !ok:
			refuse(400, "ResourceNotFoundException")
		case strings.HasPrefix(text, "binary:"):
			_ = json.NewEncoder(w).Encode(map[string]any{"Name": in.SecretId, "SecretBinary": []byte(text[7:])})
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"Name": in.SecretId, "SecretString": text})
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL)
	return &last
}

const arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:app/source-AbCdEf"

// TestResolve: what a secret holds, in all its forms, becomes a connection string of whichever engine.
func TestResolve(t *testing.T) {
	environment(t)
	last := keeper(t, map[string]string{
		"plain": " postgres://me:p@h:5433/app\n", "pairs": "host=h user=me password='p w'", "binary": "binary:postgres://b@h/app", "query": "postgres://h/app?sslmode=require",
		"rds":    `{"username":"admin","password":"a:b/c@d?e%20 ü","engine":"postgres","host":"db.x.eu-central-1.rds.amazonaws.com","port":5432,"dbname":"app","dbInstanceIdentifier":"db"}`,
		"master": `{"username":"postgres","password":"pw"}`, "mysql": `{"username":"u","password":"p","engine":"aurora-mysql","host":"m","port":"3307","dbname":"shop"}`,
		"maria": `{"username":"u","password":"p","engine":"mariadb","host":"::1"}`, "oracle": `{"username":"u","engine":"oracle","host":"o"}`, "iam": `{"username":"u","host":"h","dbname":"a/b"}`,
		"app/urls": `{"DATABASE_URL":"mysql://u:p@h/x","n":1}`, "broken-json": `{"password":"CANARY-json`, "empty": "", arn: "postgres://arn/app",
	})
	for _, c := range []struct{ ref, want string }{
		{"plain", "postgres://me:p@h:5433/app"}, {"pairs", "host=h user=me password='p w'"}, {"binary", "postgres://b@h/app"},
		{"plain?sslmode=verify-full", "postgres://me:p@h:5433/app?sslmode=verify-full"}, {"query?sslrootcert=/rds.pem", "postgres://h/app?sslmode=require&sslrootcert=%2Frds.pem"},
		{"rds", "postgres://admin:a%3Ab%2Fc%40d%3Fe%2520%20%C3%BC@db.x.eu-central-1.rds.amazonaws.com:5432/app"},
		{"rds?dbname=other&port=6432&user=x&sslmode=verify-full", "postgres://x:a%3Ab%2Fc%40d%3Fe%2520%20%C3%BC@db.x.eu-central-1.rds.amazonaws.com:6432/other?sslmode=verify-full"},
		{"master?host=h&dbname=app", "postgres://postgres:pw@h/app"}, {"master?host=h&engine=mysql", "mysql://postgres:pw@h"},
		{"mysql", "mysql://u:p@m:3307/shop"}, {"maria", "mariadb://u:p@[::1]"}, {"iam", "postgres://u@h/a/b"}, {"app/urls?key=DATABASE_URL", "mysql://u:p@h/x"},
		{arn, "postgres://arn/app"}, {"app%2Furls?key=DATABASE_URL&region=eu-west-1", "mysql://u:p@h/x"},
	} {
		got, err := Resolve(t.Context(), Scheme+c.ref)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.ref, got, c.want, err)
		}
		region := "eu-central-1"
		if c.ref == arn {
			region = "us-west-2"
		} else if strings.Contains(c.ref, "region=eu-west-1") {
			region = "eu-west-1"
		}
		if a := last.Load().Header.Get("Authorization"); !strings.Contains(a, "/"+region+"/secretsmanager/") {
			t.Errorf("%s was asked for with %s", c.ref, a)
		}
	}
	for _, c := range []struct {
		ref  string
		kind stream.Kind
	}{
		{"", stream.Usage}, {"%zz", stream.Usage}, {"rds?password=CANARY", stream.Usage}, {"rds?host=a&host=b", stream.Usage}, {"rds?host=", stream.Usage}, {"plain?host=h", stream.Usage},
		{"pairs?sslmode=require", stream.Usage}, {"nowhere", stream.Preflight}, {"master", stream.Preflight}, {"oracle", stream.Preflight}, {"broken-json", stream.Preflight},
		{"empty", stream.Preflight}, {"plain?key=x", stream.Preflight}, {"app/urls?key=none", stream.Preflight}, {"app/urls?key=n", stream.Preflight}, {"broken", stream.Outage},
		{"code:AccessDeniedException", stream.Denied}, {"code:DecryptionFailure", stream.Denied}, {"code:ExpiredTokenException", stream.Denied},
		{"code:ThrottlingException", stream.Outage}, {"code:ValidationException", stream.Usage}, {"code:InvalidRequestException", stream.Preflight}, {"code:Odd", stream.Failed},
	} {
		got, err := Resolve(t.Context(), Scheme+c.ref)
		if got != "" || stream.KindOf(err) != c.kind || strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: %q %v: %v, want %v", c.ref, got, stream.KindOf(err), err, c.kind)
		}
		var f *stream.Failure
		if errors.As(err, &f) && f.Hint == "" && c.kind != stream.Failed && !strings.HasPrefix(c.ref, "code:Val") {
			t.Errorf("%s: no hint: %v", c.ref, err)
		}
	}
}

// TestNoAnswer: what is wrong is told where nobody answers, where no region is known and where there are no credentials.
func TestNoAnswer(t *testing.T) {
	environment(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1")
	if _, err := Resolve(t.Context(), Scheme+"x"); stream.KindOf(err) != stream.Outage {
		t.Errorf("nobody answers: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Resolve(ended, Scheme+"x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	if _, err := Resolve(t.Context(), Scheme+"x"); stream.KindOf(err) != stream.Denied {
		t.Errorf("no credentials: %v", err)
	}
	if _, err := new(Tokens).Token(t.Context(), "h", 5432, "u"); stream.KindOf(err) != stream.Denied {
		t.Errorf("a token without credentials: %v", err)
	}
	t.Setenv("AWS_REGION", "")
	if _, err := Resolve(t.Context(), Scheme+"x"); stream.KindOf(err) != stream.Usage {
		t.Errorf("no region: %v", err)
	}
	if _, err := new(Tokens).Token(t.Context(), "h", 5432, "u"); stream.KindOf(err) != stream.Usage {
		t.Errorf("a token without a region: %v", err)
	}
}

// TestToken: a token is signed for the host, the port, the user and the region that the host's name has.
func TestToken(t *testing.T) {
	environment(t)
	var tokens Tokens
	for host, region := range map[string]string{"db.abc.us-east-2.rds.amazonaws.com": "us-east-2", "p.proxy-abc.eu-west-1.rds.amazonaws.com": "eu-west-1",
		"db.abc.rds.cn-north-1.amazonaws.com.cn": "cn-north-1", "db.abc.us-gov-west-1.rds.amazonaws.com": "us-gov-west-1",
		"db.example.com": "eu-central-1", "db.us-east-2.rds.amazonaws.com.evil.example": "eu-central-1"} {
		for range 2 {
			token, err := tokens.Token(t.Context(), host, 5433, "a user")
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse("https://" + token)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			if u.Host != host+":5433" || q.Get("DBUser") != "a user" || q.Get("Action") != "connect" || q.Get("X-Amz-Expires") != "900" ||
				!strings.Contains(q.Get("X-Amz-Credential"), "/"+region+"/rds-db/") || len(q.Get("X-Amz-Signature")) != 64 || strings.Contains(token, "CANARY") {
				t.Errorf("%s: %s", host, token)
			}
		}
	}
}
