package awsauth

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/pgmove/pgmove/stream"
)

// Tokens makes passwords for users of RDS that log in by IAM. Its zero value is ready; it may be used from several
// goroutines at once.
type Tokens struct {
	mu  sync.Mutex
	cfg map[string]aws.Config // by region
}

// rdsHost matches an endpoint of RDS or Aurora; the region is one of its groups.
var rdsHost = regexp.MustCompile(`\.(?:([a-z0-9-]+)\.rds|rds\.([a-z0-9-]+))\.amazonaws\.com(?:\.cn)?$`)

// Token returns a password with which user may log in at host and port within the next 15 minutes. It is signed here, with
// the AWS credentials as they are now: AWS is asked only where those come from it. The host must be the one that RDS knows
// the database by; its region is in that name, else AWS_REGION's.
func (t *Tokens) Token(ctx context.Context, host string, port uint16, user string) (string, error) {
	region := ""
	if m := rdsHost.FindStringSubmatch(host); m != nil {
		region = m[1] + m[2]
	}
	endpoint := net.JoinHostPort(host, strconv.Itoa(int(port)))
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cfg, err := t.config(short, region, endpoint)
	if err != nil {
		return "", err
	}
	const doing = "no token for the login by IAM can be made"
	if cfg.Credentials == nil {
		return "", failure(ctx, endpoint, doing, errors.New("get credentials: none"))
	}
	if _, err := cfg.Credentials.Retrieve(short); err != nil {
		return "", failure(ctx, endpoint, doing, &credentialsError{err})
	}
	token, err := auth.BuildAuthToken(short, endpoint, cfg.Region, user, cfg.Credentials)
	if err != nil {
		return "", failure(ctx, endpoint, doing, err)
	}
	return token, nil
}

// config loads a region's configuration once: its credentials are kept, and renewed as they expire.
func (t *Tokens) config(ctx context.Context, region, object string) (aws.Config, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cfg, ok := t.cfg[region]; ok {
		return cfg, nil
	}
	cfg, err := load(ctx, region, object)
	if err != nil {
		var f *stream.Failure
		if errors.As(err, &f) && f.Hint != "" {
			f.Hint = "connect by the name that RDS gave the database, or set AWS_REGION"
		}
		return cfg, err
	}
	if t.cfg == nil {
		t.cfg = map[string]aws.Config{}
	}
	t.cfg[region] = cfg
	return cfg, nil
}

// credentialsError says that there are no credentials.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "get credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }
