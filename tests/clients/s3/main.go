// A real S3-compatible store for tests: Versity S3 Gateway (Apache-2.0), which keeps objects as files, checks signatures, conditions and
// checksums, and has object lock. And a client of Amazon's own SDK, which says what became of an object.
//
//	s3 serve ADDRESS DIRECTORY BUCKET   serves until it is killed; the bucket has object lock
//	s3 head ENDPOINT BUCKET KEY         what the store knows of an object, as JSON
//	s3 fetch ENDPOINT BUCKET PREFIX     writes every object below a prefix to the working directory, its checksum compared
//	s3 delete ENDPOINT BUCKET KEY       deletes the latest version, which a lock forbids
//
// Whoever asks is S3_ACCESS_KEY with S3_SECRET_KEY.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

const region = "us-east-1"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("see the head of main.go for how this is called")
	}
	switch args[0] {
	case "serve":
		return serve(args[1], args[2], args[3])
	case "head":
		return head(client(args[1]), args[2], args[3])
	case "fetch":
		return fetch(client(args[1]), args[2], args[3])
	case "delete":
		return remove(client(args[1]), args[2], args[3])
	}
	return fmt.Errorf("%s is no command", args[0])
}

func key() (string, string) {
	return os.Getenv("S3_ACCESS_KEY"), os.Getenv("S3_SECRET_KEY")
}

func serve(address, directory, bucket string) error {
	for _, name := range []string{"objects", "metadata", "versions"} {
		if err := os.MkdirAll(filepath.Join(directory, name), 0o755); err != nil {
			return err
		}
	}
	// Beside the objects: not every file system that a test runs on has extended attributes.
	metadata, err := meta.NewSideCar(filepath.Join(directory, "metadata"))
	if err != nil {
		return err
	}
	store, err := posix.New(filepath.Join(directory, "objects"), metadata, posix.PosixOpts{
		VersioningDir: filepath.Join(directory, "versions"),
		SideCarDir:    filepath.Join(directory, "metadata"),
	})
	if err != nil {
		return err
	}
	id, secret := key()
	served := make(chan error, 1)
	go func() {
		served <- embedgw.RunVersityGW(context.Background(), store, &embedgw.Config{
			RootUserAccess: id, RootUserSecret: secret, Region: region, Ports: []string{address},
			MaxConnections: 1024, MaxRequests: 512, MultipartMaxParts: 10000,
		})
	}()
	for {
		_, err := client("http://"+address).CreateBucket(context.Background(), &s3.CreateBucketInput{
			Bucket: &bucket, ObjectLockEnabledForBucket: aws.Bool(true),
		})
		var owned *types.BucketAlreadyOwnedByYou
		if err == nil || errors.As(err, &owned) {
			break
		}
		select {
		case err := <-served:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	fmt.Println("ready")
	return <-served
}

func client(endpoint string) *s3.Client {
	id, secret := key()
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		}),
	})
}

func head(client *s3.Client, bucket, key string) error {
	found, err := client.HeadObject(context.Background(), &s3.HeadObjectInput{
		Bucket: &bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"bytes": found.ContentLength, "sha256": found.ChecksumSHA256,
		"lock": found.ObjectLockMode, "retain_until": found.ObjectLockRetainUntilDate,
	})
}

func fetch(client *s3.Client, bucket, prefix string) error {
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			path := filepath.FromSlash(strings.TrimPrefix(*object.Key, prefix))
			if err := fetchOne(client, bucket, *object.Key, path); err != nil {
				return fmt.Errorf("%s: %w", *object.Key, err)
			}
		}
	}
	return nil
}

func fetchOne(client *s3.Client, bucket, key, path string) error {
	found, err := client.GetObject(context.Background(), &s3.GetObjectInput{
		Bucket: &bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return err
	}
	defer found.Body.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, found.Body); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func remove(client *s3.Client, bucket, key string) error {
	found, err := client.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	_, err = client.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: found.VersionId})
	return err
}
