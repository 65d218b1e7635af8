package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/agestore"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/s3store"
)

// locationFlags say how the place of an archive is reached.
func locationFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "s3-endpoint", EnvVars: []string{"PGMOVE_S3_ENDPOINT"}, Usage: "`URL` of an S3 server other than AWS"},
		&cli.StringFlag{Name: "s3-region", Usage: "the bucket's region, where the environment names none"},
		&cli.BoolFlag{Name: "s3-path-style", EnvVars: []string{"PGMOVE_S3_PATH_STYLE"}, Usage: "put the bucket into the path, not into the host name"},
		&cli.StringFlag{Name: "s3-profile", Usage: "`PROFILE` of the AWS configuration, instead of AWS_PROFILE"},
		&cli.StringFlag{Name: "s3-owner", EnvVars: []string{"PGMOVE_S3_OWNER"}, Usage: "`ACCOUNT` that must own the bucket"},
		&cli.StringFlag{Name: "identity", EnvVars: []string{"PGMOVE_IDENTITY"}, Usage: "`FILE` of the age identities, or SSH private key, that decrypt the archive"},
		&cli.StringFlag{Name: "mac-key", EnvVars: []string{"PGMOVE_MAC_KEY"}, Usage: "`FILE` with a secret of both sides: a dump authenticates the archive with it, and nothing is taken that was not"},
		&cli.StringFlag{Name: "memory", Value: "256MiB", Usage: "`BYTES` of memory to keep to, the uploads' above all"},
	}
}

// sealFlags say how an archive is written.
func sealFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "encrypt-to", Usage: "encrypt the archive with age to `RECIPIENT`: age1…, an SSH public key, or a file of them"},
		&cli.StringFlag{Name: "s3-sse", Usage: "server-side encryption: AES256 or aws:kms; the bucket's own default without it"},
		&cli.StringFlag{Name: "s3-kms-key", Usage: "`KEY` (ID or ARN) for aws:kms"},
		&cli.StringFlag{Name: "s3-storage-class", Usage: "storage `CLASS` of the objects, such as STANDARD_IA"},
		&cli.StringFlag{Name: "s3-checksum", Usage: "`ALGORITHM` of the requests' checksums: crc32, crc32c, crc64nvme, sha1 or sha256"},
	}
}

// location is where an archive lies.
type location struct {
	text string
	dir  string
	s3   bool
}

func parseLocation(name, s string) (location, error) {
	bad := func(why string) (location, error) {
		return location{}, stream.Fail(stream.Usage, "--%s %s: %s", name, stream.Text(s).Display(), why).
			WithHint("write file:///folder, a folder's path, or s3://bucket/prefix")
	}
	switch {
	case s == "":
		return bad("a location is missing")
	case strings.HasPrefix(s, "s3://"):
		return location{text: s, s3: true}, nil
	case strings.HasPrefix(s, "file://"):
		u, err := url.Parse(s)
		if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return bad("a file:// location has three slashes and an absolute path")
		}
		return location{text: s, dir: filepath.Clean(u.Path)}, nil
	case strings.Contains(s, "://"):
		return bad("no such kind of location")
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		return bad(err.Error())
	}
	return location{text: s, dir: abs}, nil
}

// uploadShare is the part of --memory that uploads may take; the rest is for rows on their way, the
// drivers and the runtime.
const uploadShare = 2

// memoryLimit reads --memory, in bytes, and has the runtime keep to it.
func memoryLimit(c *cli.Context) (int64, error) {
	memory, err := byteSize("memory", c.String("memory"))
	if err != nil {
		return 0, err
	}
	// The runtime's own limit leaves out the program's code, and is passed by a little before it is kept.
	debug.SetMemoryLimit(memory / 5 * 4)
	return memory, nil
}

// openBare opens the store of a location without its encryption; create makes a folder that isn't there.
func (l location) openBare(ctx context.Context, c *cli.Context, create bool) (stream.Store, error) {
	memory, err := memoryLimit(c)
	if err != nil {
		return nil, err
	}
	if !l.s3 {
		return filestore.Open(l.dir, create)
	}
	bucket, prefix, err := s3store.ParseLocation(l.text)
	if err != nil {
		return nil, err
	}
	return s3store.Open(ctx, s3store.Options{Bucket: bucket, Prefix: prefix, Endpoint: c.String("s3-endpoint"),
		Region: c.String("s3-region"), PathStyle: c.Bool("s3-path-style") || c.String("s3-endpoint") != "",
		Profile: c.String("s3-profile"), Owner: c.String("s3-owner"), SSE: c.String("s3-sse"), KMSKey: c.String("s3-kms-key"),
		StorageClass: c.String("s3-storage-class"), Checksum: c.String("s3-checksum"),
		Uploads: c.Int("jobs"), Memory: memory / uploadShare})
}

// openOwn opens a location to write an archive there; the second store is the bare one, without
// encryption. read says that the archive is read again by the same process.
func (l location) openOwn(ctx context.Context, c *cli.Context, read bool, o stream.Observer) (s, bare stream.Store, err error) {
	recipients, err := agestore.ParseRecipients(c.StringSlice("encrypt-to"))
	if err != nil {
		return nil, nil, err
	}
	identities, err := readIdentities(c, o)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case len(recipients) > 0 && len(identities) == 0 && read:
		return nil, nil, stream.Fail(stream.Usage, "--encrypt-to: run reads the archive again").WithHint("give --identity FILE too")
	case len(identities) > 0 && len(recipients) == 0:
		return nil, nil, stream.Fail(stream.Usage, "--identity decrypts, and --encrypt-to, which encrypts, is missing")
	}
	if len(identities) > 0 {
		if err := agestore.Match(recipients, identities); err != nil {
			return nil, nil, err
		}
	}
	bare, err = l.openBare(ctx, c, true)
	if err != nil {
		return nil, nil, err
	}
	if s = bare; len(recipients) > 0 {
		s = agestore.New(s, recipients, identities)
	}
	if fault.Active() {
		s = faulty{s}
	}
	return s, bare, nil
}

// found is what a location held that an archive is to be written to.
type found struct {
	prior  *stream.Prior  // an archive that was begun
	sealed *stream.Reader // one that is complete
	// release lets others write there.
	release func()
}

// openToWrite opens a location to write an archive there: nothing may be in it, unless a run is resumed. read says
// that the archive is read again by the same process.
func (l location) openToWrite(ctx context.Context, c *cli.Context, read bool, mac stream.MACKey, o stream.Observer) (s stream.Store, was found, err error) {
	s, bare, err := l.openOwn(ctx, c, read, o)
	if err != nil {
		return nil, was, err
	}
	alone := fault.Active() // a test knows that nobody else is there
	was.release = func() {}
	if d, ok := bare.(interface{ Alone() (bool, func(), error) }); ok {
		if alone, was.release, err = d.Alone(); err != nil {
			return nil, was, err
		}
		defer func() {
			if err != nil {
				was.release()
			}
		}()
	}
	if c.Bool("resume") {
		was.prior, was.sealed, err = stream.ReadPrior(ctx, s, l.text, mac, alone)
		if err != nil || was.sealed != nil {
			return s, was, err
		}
	}
	if was.prior == nil {
		if err = stream.Empty(ctx, bare, l.text, c.Bool("resume")); err != nil {
			return nil, was, err
		}
	}
	// Nobody else writes here: what killed runs left behind is in nobody's use.
	if sw, ok := bare.(interface {
		Sweep(context.Context) (int, error)
	}); ok {
		if _, err = sw.Sweep(ctx); err != nil {
			if stream.KindOf(err) != stream.Denied {
				return nil, was, err
			}
			o.Warn("dump", "incomplete uploads of earlier runs were not looked for: "+err.Error())
			err = nil
		}
	}
	return s, was, nil
}

// openArchived opens a location to read an archive there; soon says that it may not be there yet.
func (l location) openArchived(ctx context.Context, c *cli.Context, soon bool, o stream.Observer) (stream.Store, error) {
	identities, err := readIdentities(c, o)
	if err != nil {
		return nil, err
	}
	s, err := l.openBare(ctx, c, soon)
	if err != nil {
		return nil, err
	}
	if len(identities) > 0 {
		// Also where it is not encrypted: who gives an identity must not be handed anything else.
		return agestore.New(s, nil, identities), nil
	}
	return s, l.checkPlain(ctx, s)
}

// checkPlain refuses an archive that is encrypted.
func (l location) checkPlain(ctx context.Context, s stream.Store) error {
	encrypted, err := agestore.Encrypted(ctx, s)
	if err != nil || !encrypted {
		return err
	}
	return (&stream.Failure{Kind: stream.Usage, Object: l.text, Msg: "the archive is encrypted"}).
		WithHint("give --identity FILE, with the identity that it was encrypted to")
}

func readIdentities(c *cli.Context, o stream.Observer) ([]age.Identity, error) {
	file := c.String("identity")
	if file == "" {
		return nil, nil
	}
	ids, warning, err := agestore.ReadIdentities(file)
	if warning != "" {
		o.Warn("restore", warning)
	}
	return ids, err
}

// macKey reads --mac-key.
func macKey(c *cli.Context) (stream.MACKey, error) {
	file := c.String("mac-key")
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, stream.Fail(stream.Usage, "--mac-key: %s", err)
	}
	key := stream.MACKey(strings.TrimRight(string(b), "\r\n"))
	if len(key) == 0 {
		return nil, stream.Fail(stream.Usage, "--mac-key %s: the file is empty", file)
	}
	if err := key.Valid(); err != nil {
		return nil, stream.Fail(stream.Usage, "--mac-key %s: %s", file, err).WithHint("make one with: openssl rand -base64 32 > %s", file)
	}
	return key, nil
}
