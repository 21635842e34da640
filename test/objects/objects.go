// Package objects starts object stores for one test, as test/objects/setup builds them: for Amazon S3 gofakes3 and
// versitygw, for Google Cloud Storage fake-gcs-server. Each has a bucket, a directory and a port of its own, listens on
// loopback only, and is gone when the test ends.
//
// It does not know what is stored in them. Only versitygw checks signatures.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

const (
	required = "DRAGOMAN_NEED_PEERS" // when set, a missing program fails the test instead of skipping it
	// startLimit is long because the machines of CI are small and do other work.
	startLimit = 90 * time.Second
	probeEvery = 50 * time.Millisecond
)

// Bucket is the name of the bucket that each store has.
const Bucket = "dragoman-test"

// Keys of versitygw, the only store that looks at them. They open nothing else.
const (
	AccessKey = "dragoman-test-key"
	SecretKey = "dragoman-test-secret"
)

// S3 starts gofakes3 and returns its endpoint. It keeps everything in memory.
func S3(tb testing.TB) string {
	tb.Helper()
	return run(tb, find(tb, "gofakes3"), func(port, _ string) []string {
		return []string{"-backend", "memory", "-host", "127.0.0.1:" + port, "-initialbucket", Bucket, "-quiet"}
	}, func(endpoint string) error { return answers(http.MethodGet, endpoint+"/"+Bucket+"/", "") })
}

// Signed starts versitygw and returns its endpoint. The bucket is a directory. It takes part when DRAGOMAN_VERSITYGW is
// set, since building it takes ten minutes; then it must be there.
func Signed(tb testing.TB) string {
	tb.Helper()
	if os.Getenv("DRAGOMAN_VERSITYGW") == "" {
		tb.Skip("for this run test/objects/setup --versitygw and set DRAGOMAN_VERSITYGW=1")
	}
	program, err := locate("versitygw")
	if err != nil {
		tb.Fatalf("%v: run test/objects/setup --versitygw", err)
	}
	return run(tb, program, func(port, dir string) []string {
		if err := os.MkdirAll(filepath.Join(dir, Bucket), 0o755); err != nil {
			tb.Fatal(err)
		}
		return []string{"--port", "127.0.0.1:" + port, "--health", "/health", "posix", dir}
	}, func(endpoint string) error { return answers(http.MethodGet, endpoint+"/health", "") })
}

// GCS starts fake-gcs-server and returns its endpoint. It keeps everything in memory.
func GCS(tb testing.TB) string {
	tb.Helper()
	return run(tb, find(tb, "fake-gcs-server"), func(port, _ string) []string {
		return []string{"-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory", "-public-host", "127.0.0.1:" + port, "-log-level", "error"}
	}, func(endpoint string) error {
		return answers(http.MethodPost, endpoint+"/storage/v1/b?project=test", `{"name":"`+Bucket+`"}`)
	})
}

// answers sends a request that a store answers with 200 once it is ready.
func answers(method, at, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Close = true
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(a.Body, 1<<10))
	if a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", a.Status, text)
	}
	return errors.Join(err, a.Body.Close())
}

// run starts a program on a free port and returns its endpoint when it answers. Between finding a port and using it
// another process may take it; then there is another try.
func run(tb testing.TB, program string, args func(port, dir string) []string, probe func(endpoint string) error) string {
	tb.Helper()
	var err error
	for range 3 {
		var port string
		if port, err = freePort(); err != nil {
			tb.Fatal(err)
		}
		endpoint := "http://127.0.0.1:" + port
		if err = start(tb, program, args(port, tb.TempDir()), func() error { return probe(endpoint) }); err == nil {
			return endpoint
		}
	}
	tb.Fatalf("start %s: %v", program, err)
	return ""
}

func start(tb testing.TB, program string, args []string, probe func() error) error {
	dir := tb.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = dir, log, log, attributes()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	deadline := time.After(startLimit)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		err := probe()
		if err == nil {
			tb.Cleanup(stop)
			return nil
		}
		select {
		case how := <-ended:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("ended before it answered: %v\n%s", how, text)
		case <-deadline:
			stop()
			return fmt.Errorf("does not answer within %v: %w", startLimit, err)
		case <-tick.C:
		}
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// find gives the path of a program; otherwise the test ends here.
func find(tb testing.TB, name string) string {
	tb.Helper()
	program, err := locate(name)
	if err == nil {
		return program
	}
	if os.Getenv(required) != "" {
		tb.Fatalf("%v: run test/objects/setup", err)
	}
	tb.Skipf("%v: run test/objects/setup", err)
	return ""
}

func locate(name string) (string, error) {
	dir := os.Getenv("DRAGOMAN_OBJECTS")
	if dir == "" {
		root, err := peers.Root()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".cache", "objects")
	}
	program := filepath.Join(dir, "bin", name)
	_, err := os.Stat(program)
	return program, err
}
