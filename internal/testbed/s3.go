package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// region is the S3 server's region; requests signed for another one fail.
const region = "us-east-1"

// healthPath is where the S3 server tells that it is ready.
const healthPath = "/testbed-health"

// S3 is a private S3 server (versitygw), which keeps its objects as files. It checks
// signatures, checksums and part sizes as S3 does. It takes path-style requests:
// set the client's UsePathStyle. It drops server-side encryption headers silently.
type S3 struct {
	program           string
	dir               string // holds data/, meta/, log and lock
	lock              *os.File
	user              *user
	port              int
	accessKey, secret string
	proc              *process // nil while it is stopped
}

// s3Program returns the S3 server's program.
func s3Program() (string, error) {
	program := filepath.Join(ToolsDir(), "bin", "versitygw")
	if !isFile(program) {
		return "", errors.New("the S3 server versitygw is not installed: " + makeTools)
	}
	return filepath.Abs(program) // it changes its working directory
}

// StartS3 starts an S3 server without buckets. Close ends it.
func StartS3(ctx context.Context) (*S3, error) {
	program, err := s3Program()
	if err != nil {
		return nil, err
	}
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, lock, err := newFolder(u)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s := &S3{program: program, dir: dir, lock: lock, user: u, accessKey: secret()[:20], secret: secret()}
	for _, sub := range []string{s.data(), s.meta()} {
		if err := errors.Join(os.Mkdir(sub, 0o700), u.own(sub)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	for range 5 {
		if s.port, err = freePort(); err != nil {
			break
		}
		if err = s.Start(ctx); err == nil {
			return s, nil
		}
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, errors.Join(err, s.Close())
}

// Start starts the server after Stop, on the port it had, and returns when it takes
// requests.
func (s *S3) Start(ctx context.Context) error {
	if s.proc != nil && s.proc.alive() == nil {
		return errors.New("the S3 server runs already")
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own handle of it
	args := []string{"--port", s.address(), "--region", region, "--health", healthPath, "--keep-alive", "posix"}
	if !hasXattr(s.data()) {
		args = append(args, "--sidecar", s.meta())
	}
	cmd := s.user.command(context.WithoutCancel(ctx), s.dir, s.program, append(args, s.data())...)
	// Keys in the environment, since all users see a process's arguments.
	cmd.Env = append(cmd.Env, "ROOT_ACCESS_KEY="+s.accessKey, "ROOT_SECRET_KEY="+s.secret)
	cmd.Stdout, cmd.Stderr = log, log
	if s.proc, err = start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the S3 server did not start within %v", startTimeout))
	defer cancel()
	if err := until(ctx, s.proc.alive, func() error { return s.healthy(ctx) }); err != nil {
		kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("start the S3 server: %w\n%s", err, tail(s.Log())), s.Stop(kill))
	}
	return nil
}

// healthy returns nil when the server takes requests.
func (s *S3) healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint()+healthPath, nil)
	if err != nil {
		return err
	}
	// A transport of its own: no proxy, and no connection left over.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("its health is %s", resp.Status)
	}
	return nil
}

// Stop kills the server, requests under way and all, and keeps its objects; Start
// starts it again.
func (s *S3) Stop(ctx context.Context) error {
	if s.proc == nil {
		return nil
	}
	proc := s.proc
	s.proc = nil
	return proc.stop(ctx, syscall.SIGKILL)
}

// Close ends the server and removes all that is of it.
func (s *S3) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := s.Stop(ctx)
	return errors.Join(err, os.RemoveAll(s.dir), s.lock.Close())
}

// CreateBucket makes an empty bucket.
func (s *S3) CreateBucket(name string) error {
	dir := s.BucketDir(name)
	if filepath.Dir(dir) != s.data() {
		return fmt.Errorf("not a bucket's name: %q", name)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	return s.user.own(dir)
}

// BucketDir is the folder with the bucket's objects, a file each, for tests that
// damage them. A file's metadata is beside it: what S3 says of a damaged object's
// checksum is what it was.
func (s *S3) BucketDir(name string) string { return filepath.Join(s.data(), name) }

// Endpoint is the server's URL.
func (s *S3) Endpoint() string { return "http://" + s.address() }

// AccessKey is the access key ID of the only account, which may do all.
func (s *S3) AccessKey() string { return s.accessKey }

// SecretKey is the secret access key of the account.
func (s *S3) SecretKey() string { return s.secret }

// Region is the server's region.
func (s *S3) Region() string { return region }

// Log is what the server has logged so far, a line for each request.
func (s *S3) Log() string { return readLog(s.logFile()) }

// Env are the variables by which AWS's tools and SDKs find the server, as
// NAME=value, and which keep them from the machine's own AWS settings.
func (s *S3) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.accessKey,
		"AWS_SECRET_ACCESS_KEY=" + s.secret,
		"AWS_SESSION_TOKEN=",
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_PROFILE=",
		"AWS_ENDPOINT_URL=" + s.Endpoint(),
		"AWS_ENDPOINT_URL_S3=" + s.Endpoint(),
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

func (s *S3) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }
func (s *S3) data() string    { return filepath.Join(s.dir, "data") }
func (s *S3) meta() string    { return filepath.Join(s.dir, "meta") }
func (s *S3) logFile() string { return filepath.Join(s.dir, "log") }
