package telemetry

import (
	"net/http"
	"runtime"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// families are the metrics that are counted as things happen. What can be
// looked up when somebody asks is in collector.
//
// Names and labels of mcp_* are those of the OpenTelemetry semantic conventions
// for MCP in Prometheus form; response_time_seconds and active_requests come
// from the requirements; the rest begins with dragoman_.
type families struct {
	incoming, outgoing *prometheus.HistogramVec
	incomingSession    *prometheus.HistogramVec
	outgoingSession    *prometheus.HistogramVec
	responseTime       *prometheus.HistogramVec
	activeRequests     *prometheus.GaugeVec
	sessions, streams  *prometheus.GaugeVec
	reloads, flows     *prometheus.CounterVec
	lastReload         prometheus.Gauge
	hiddenText, asked  *prometheus.CounterVec
}

// durationBuckets are in seconds, as the conventions recommend for MCP.
func durationBuckets() []float64 {
	return []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300}
}

// responseBuckets are in seconds, as the requirements name them.
func responseBuckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

func newFamilies(r *prometheus.Registry, o Options) *families {
	operation := []string{"mcp_method_name", "gen_ai_tool_name", "error_type", "network_transport", "mcp_protocol_version"}
	session := []string{"network_transport", "mcp_protocol_version"}
	f := &families{
		incoming:        histogram("mcp_server_operation_duration_seconds", "How long the gateway took to answer a client's request.", durationBuckets(), operation...),
		outgoing:        histogram("mcp_client_operation_duration_seconds", "How long a server took to answer the gateway's request.", durationBuckets(), append(operation, "server")...),
		incomingSession: histogram("mcp_server_session_duration_seconds", "How long sessions of clients lasted.", durationBuckets(), session...),
		outgoingSession: histogram("mcp_client_session_duration_seconds", "How long sessions with servers lasted.", durationBuckets(), append(session, "server")...),
		responseTime:    histogram("response_time_seconds", "How long an HTTP endpoint took to answer, streams included.", responseBuckets(), "endpoint", "method"),
		activeRequests:  gauge("active_requests", "HTTP requests being answered, streams included.", "endpoint"),
		sessions:        gauge("dragoman_sessions", "Sessions that are open, by side: incoming ones of clients, outgoing ones with servers.", "side"),
		streams:         gauge("dragoman_streams", "Streams that are open, by kind.", "kind"),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dragoman_config_reloads_total", Help: "Reloads of the configuration, by result."}, []string{"result"}),
		flows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dragoman_flow_decisions_total",
			Help: "Calls that a flow, or a policy with @ask, did not simply let through, by what became of them: refused, wanted (the user was asked, or could not be), given, denied.",
		}, []string{"server", "rule", "outcome"}),
		lastReload: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dragoman_config_last_reload_success_timestamp_seconds", Help: "When the configuration in use was loaded, in Unix time."}),
		hiddenText: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dragoman_hidden_text_total", Help: "Definitions, each once, errors and results of a server that had something nobody sees, by kind."}, []string{"server", "kind"}),
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dragoman_questions_refused_total",
			Help: "What servers asked their callers for and was not passed on, by server and reason.",
		}, []string{"server", "reason"}),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dragoman_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": o.Version, "commit": o.Commit, "go": runtime.Version()},
	}, func() float64 { return 1 })
	r.MustRegister(f.incoming, f.outgoing, f.incomingSession, f.outgoingSession, f.responseTime, f.activeRequests,
		f.sessions, f.streams, f.reloads, f.flows, f.lastReload, f.hiddenText, f.asked, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{"success", "failure"} {
		f.reloads.WithLabelValues(result)
	}
	return f
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

// duration returns where the durations of a series go.
func (f *families) duration(leg Leg, key seriesKey) prometheus.Observer {
	values := []string{key.method, key.tool, key.failure, string(leg.Transport), key.revision}
	if leg.Side == Outgoing {
		return f.outgoing.WithLabelValues(append(values, leg.Server)...)
	}
	return f.incoming.WithLabelValues(values...)
}

func (f *families) forget(server string) {
	labels := prometheus.Labels{"server": server}
	f.outgoing.DeletePartialMatch(labels)
	f.outgoingSession.DeletePartialMatch(labels)
	f.flows.DeletePartialMatch(labels)
	f.hiddenText.DeletePartialMatch(labels)
	f.asked.DeletePartialMatch(labels)
}

// SessionOpened counts a session until closed is called, which may be done once.
func (t *Telemetry) SessionOpened(leg Leg, revision mcp.Revision) (closed func()) {
	begin := time.Now()
	values := []string{string(leg.Transport), revisionLabel(&mcp.Client{Revision: revision})}
	open, lasted := t.families.sessions.WithLabelValues("incoming"), t.families.incomingSession
	if leg.Side == Outgoing {
		open, lasted = t.families.sessions.WithLabelValues("outgoing"), t.families.outgoingSession
		values = append(values, leg.Server)
	}
	open.Inc()
	return func() {
		open.Dec()
		lasted.WithLabelValues(values...).Observe(time.Since(begin).Seconds())
	}
}

// StreamOpened counts a stream until closed is called, which may be done once.
// kind is one of few: sse, websocket, listen.
func (t *Telemetry) StreamOpened(kind string) (closed func()) {
	open := t.families.streams.WithLabelValues(kind)
	open.Inc()
	return open.Dec
}

// Driven counts a call to a server that what was read before, or the user, decided
// about. rule is one of the configuration's, outcome one of few words.
func (t *Telemetry) Driven(server, rule, outcome string) {
	t.families.flows.WithLabelValues(server, rule, outcome).Inc()
}

// Loaded tells that a configuration was taken into use, or that one was
// refused. The first one, at the start, is no reload.
func (t *Telemetry) Loaded(reload bool, err error) {
	switch {
	case err != nil:
		t.families.reloads.WithLabelValues("failure").Inc()
		return
	case reload:
		t.families.reloads.WithLabelValues("success").Inc()
	}
	t.families.lastReload.SetToCurrentTime()
}

// HiddenText counts something nobody sees that a server has written. kind is one
// of few: tool, prompt, error and the like.
func (t *Telemetry) HiddenText(server, kind string) {
	t.families.hiddenText.WithLabelValues(server, kind).Inc()
}

// NotAsked counts what a server asked its caller for and was not passed on. reason
// is one of few.
func (t *Telemetry) NotAsked(server, reason string) {
	t.families.asked.WithLabelValues(server, reason).Inc()
}

// Endpoint returns next with its requests timed and counted under a name,
// which must be one of few: a route's pattern, not its path.
func (t *Telemetry) Endpoint(name string, next http.Handler) http.Handler {
	active := t.families.activeRequests.WithLabelValues(name)
	times := make(map[string]prometheus.Observer)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, other} {
		times[method] = t.families.responseTime.WithLabelValues(name, method)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		took := times[r.Method]
		if took == nil {
			took = times[other]
		}
		active.Inc()
		defer func() {
			active.Dec()
			took.Observe(time.Since(begin).Seconds())
		}()
		next.ServeHTTP(w, r)
	})
}

// maxScrapes bounds the looks at the metrics at once.
const maxScrapes = 4

// Metrics answers with all metrics in the Prometheus text format, or as
// OpenMetrics, with exemplars, to who asks for that.
func (t *Telemetry) Metrics() http.Handler {
	all := prometheus.Gatherers{t.registry}
	if t.o.Gather != nil {
		all = append(all, t.o.Gather)
	}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, ErrorHandling: promhttp.ContinueOnError,
	})
}
