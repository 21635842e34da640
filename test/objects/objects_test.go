package objects_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/test/objects"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStoresAnswer asks each store for its bucket, as anybody.
func TestStoresAnswer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		start  func(testing.TB) string
		path   string
		status int
		want   string
	}{
		{"gofakes3", objects.S3, "/" + objects.Bucket + "?list-type=2", http.StatusOK, "ListBucketResult"},
		{"fake-gcs-server", objects.GCS, "/storage/v1/b/" + objects.Bucket + "/o", http.StatusOK, "storage#objects"},
		{"versitygw, which wants a signature", objects.Signed, "/" + objects.Bucket + "?list-type=2", http.StatusForbidden, "AccessDenied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tc.start(t)+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Close = true
			a, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			text, err := io.ReadAll(a.Body)
			if a.StatusCode != tc.status || !strings.Contains(string(text), tc.want) {
				t.Errorf("got %s, %v: %s, want %d and %q", a.Status, err, text, tc.status, tc.want)
			}
		})
	}
}
