package s3store

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/pgmove/pgmove/stream"
)

const mib = 1 << 20

// The defaults of Options, and its bounds.
const (
	DefaultMemory      = 128 * mib
	DefaultConcurrency = 2
	DefaultUploads     = 8
	minPartSize        = 5 * mib    // S3 refuses smaller parts, but for the last
	maxPartSize        = 1024 * mib // S3 would take five times that
	widePartSize       = 16 * mib   // larger parts are hardly faster
	// maxParts is how many parts S3 takes of one object.
	maxParts = 10_000
)

// Options says where a store is and how it moves bytes. The zero value of every field but
// Bucket is usable.
type Options struct {
	// Bucket is the bucket's name. It must exist.
	Bucket string
	// Prefix stands, with a slash, before every key; "" for none.
	Prefix string
	// Region is the bucket's. By default the SDK's configuration tells it, and where that
	// doesn't the bucket itself, or us-east-1 for a server that isn't AWS.
	Region string
	// Endpoint is the URL of a server that isn't AWS; by default AWS_ENDPOINT_URL_S3 or
	// AWS_ENDPOINT_URL, and AWS where these are not set.
	Endpoint string
	// PathStyle puts the bucket's name in the path instead of the host's name.
	PathStyle bool
	// Profile is the profile of the shared configuration; by default AWS_PROFILE.
	Profile string
	// Owner is the account ID that must own the bucket; "" for no such check.
	Owner string

	// SSE is how the server encrypts objects: "AES256" with keys of its own, "aws:kms" with those of
	// KMS; "" for the bucket's own default.
	SSE string
	// KMSKey is the ID or ARN of the key that the server encrypts objects with, which implies
	// "aws:kms"; "" for the bucket's default.
	KMSKey string
	// StorageClass is the objects' storage class as S3 names it, such as STANDARD_IA; "" for the server's
	// default. GLACIER and DEEP_ARCHIVE are refused: what is stored there can't be read back at once.
	StorageClass string
	// Checksum is the algorithm of the checksums sent along: crc32, crc32c, sha1, sha256 or
	// crc64nvme; "" for the SDK's default, which is crc32 unless AWS_REQUEST_CHECKSUM_CALCULATION says
	// when_required.
	Checksum string

	// Memory bounds the bytes that all uploads take together; DefaultMemory by default. A quarter of it
	// at most is set aside for the first MiB of each of Uploads objects, the rest is for parts. An upload
	// takes that of Concurrency + 1 parts; where there isn't so much it waits for that of two.
	Memory int64
	// Uploads is how many Puts are to be expected at the same time; DefaultUploads by default. It is no
	// bound: more Puts share the same memory, but for the first MiB of each.
	Uploads int
	// Concurrency is how many parts of one object are on their way at the same time, while there is
	// memory for them and for one more that is being filled; DefaultConcurrency by default.
	Concurrency int
	// PartSize is the size, in bytes, of the parts of large objects, at least 5 MiB; an object that is
	// smaller goes in one request. It is rounded up to whole MiB. By default it is such that Uploads objects fit into Memory with all
	// their parts, from 5 to 16 MiB. S3 takes 10,000 parts an object, so that 5 MiB allow 48 GiB; a reader
	// that has a SizeHint gets larger parts (see Put).
	PartSize int64

	// Transport, where it isn't nil, wraps what makes the HTTP requests of the store; not those
	// by which credentials are asked for.
	Transport func(http.RoundTripper) http.RoundTripper
}

// check sets the defaults and refuses what makes no sense.
func (o *Options) check() error {
	if !validBucket(o.Bucket) {
		return stream.Fail(stream.Usage, "not the name of a bucket: %.80q", o.Bucket)
	}
	if o.Prefix = strings.TrimSuffix(o.Prefix, "/"); o.Prefix != "" {
		if err := stream.CheckKey(o.Prefix); err != nil {
			return stream.Fail(stream.Usage, "not a prefix that pgmove uses: %.80q", o.Prefix).Because(err)
		}
	}
	if err := checkEndpoint(o.Endpoint); err != nil {
		return err
	}
	if err := o.checkObjects(); err != nil {
		return err
	}
	return o.checkSizes()
}

// checkObjects checks what the server is asked to do with objects.
func (o *Options) checkObjects() error {
	switch {
	case o.SSE == "" && o.KMSKey != "":
		o.SSE = string(types.ServerSideEncryptionAwsKms)
	case o.SSE == "" || o.SSE == string(types.ServerSideEncryptionAwsKms):
	case o.SSE != string(types.ServerSideEncryptionAes256):
		return stream.Fail(stream.Usage, "not a server-side encryption that pgmove uses: %.80q", o.SSE).WithHint("AES256 or aws:kms")
	case o.KMSKey != "":
		return stream.Fail(stream.Usage, "the encryption AES256 takes no KMS key").WithHint("use aws:kms with the key, or AES256 without")
	}
	class := types.StorageClass(o.StorageClass)
	switch known := class.Values(); {
	case class == "":
	case class == types.StorageClassGlacier || class == types.StorageClassDeepArchive:
		return stream.Fail(stream.Usage, "the storage class %s can't be read back at once", class).
			WithHint("use GLACIER_IR, or move the archive with a lifecycle rule once it is complete")
	case !slices.Contains(known, class):
		return stream.Fail(stream.Usage, "not a storage class: %.80q", o.StorageClass).WithHint("STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING or GLACIER_IR, for example")
	}
	if _, ok := checksums[o.Checksum]; !ok {
		return stream.Fail(stream.Usage, "not a checksum that pgmove uses: %.80q", o.Checksum).WithHint("crc32, crc32c, sha1, sha256 or crc64nvme")
	}
	return nil
}

// checksums are the SDK's names of the algorithms.
var checksums = map[string]types.ChecksumAlgorithm{
	"":          "",
	"crc32":     types.ChecksumAlgorithmCrc32,
	"crc32c":    types.ChecksumAlgorithmCrc32c,
	"sha1":      types.ChecksumAlgorithmSha1,
	"sha256":    types.ChecksumAlgorithmSha256,
	"crc64nvme": types.ChecksumAlgorithmCrc64nvme,
}

// checkSizes sets how many bytes are on their way at the same time, and checks that they can be.
func (o *Options) checkSizes() error {
	if o.Concurrency == 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Uploads == 0 {
		o.Uploads = DefaultUploads
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Concurrency < 0 || o.Concurrency > 64 || o.Uploads < 0 || o.Uploads > 1024 {
		return stream.Fail(stream.Usage, "%d parts of %d uploads at a time are out of bounds: 64 of 1024", o.Concurrency, o.Uploads)
	}
	if o.PartSize == 0 {
		share := o.room() / int64(o.Uploads*(o.Concurrency+1))
		o.PartSize = min(max(share/mib*mib, minPartSize), widePartSize)
	}
	o.PartSize = (o.PartSize + mib - 1) / mib * mib
	if o.PartSize < minPartSize || o.PartSize > maxPartSize {
		return stream.Fail(stream.Usage, "a part size of %d bytes is out of bounds: %d to %d", o.PartSize, minPartSize, maxPartSize)
	}
	if need := 2 * o.PartSize; o.room() < need {
		least := min(need+int64(o.Uploads)*small, need+(need+2)/3)
		return stream.Fail(stream.Usage, "%d bytes of memory are too few for uploads in parts of %d bytes", o.Memory, o.PartSize).
			WithHint("give uploads at least %d MiB", (least+mib-1)/mib)
	}
	return nil
}

// room is how many bytes of Memory are for parts.
func (o *Options) room() int64 {
	return o.Memory - min(int64(o.Uploads)*small, o.Memory/4)
}

// checkEndpoint refuses what is no plain URL of a server. It never repeats the
// URL: one with a user in it holds a password.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return stream.Fail(stream.Usage, "the S3 endpoint is not a plain URL of the form https://host:port")
	}
	return nil
}

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func validBucket(name string) bool {
	return bucketPattern.MatchString(name) && !strings.Contains(name, "..")
}

// ParseLocation splits a location s3://bucket/prefix. The prefix may be missing, and one slash
// may follow it. The error is a *stream.Failure of kind Usage.
func ParseLocation(location string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(location, "s3://")
	if !ok {
		return "", "", stream.Fail(stream.Usage, "not a location of the form s3://bucket/prefix: %.80q", location)
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !validBucket(bucket) {
		return "", "", stream.Fail(stream.Usage, "not the name of a bucket: %.80q", bucket)
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		if err := stream.CheckKey(prefix); err != nil {
			return "", "", stream.Fail(stream.Usage, "not a prefix that pgmove uses: %.80q", prefix).Because(err)
		}
	}
	return bucket, prefix, nil
}
