package rtc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4/packetio"
)

// One publisher's 720p video and the mix go to many subscribers, who are in a
// process of their own: what is told is the CPU of the server alone. Run with
// -benchtime=1x.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{50, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				fanOut(b, n, 5*time.Second)
			}
		})
	}
}

// fanOutClients is set in the environment of the clients' process.
const fanOutClients = "BELFRY_FANOUT_CLIENTS"

const (
	fanOutFrame   = 6250 // bytes: 1.5 Mbit/s with 30 frames a second
	fanOutPackets = 6    // of a frame
)

const fanOutOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n" +
	"a=ice-ufrag:%s\r\na=ice-pwd:0123456789abcdef012345\r\na=fingerprint:%s\r\na=setup:actpass\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n%sa=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n%sa=sendrecv\r\na=rtpmap:96 VP8/90000\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:2\r\n%sa=recvonly\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"

const fanOutTWCC = "a=extmap:3 " + uriTWCC + "\r\na=rtcp-fb:* transport-cc\r\n"

// A fanOutJob tells the clients' process whom to be.
type fanOutJob struct {
	Server      string
	Publish     bool // the first client does
	Certificate [][]byte
	Key         []byte
	Clients     []fanOutClient
}

type fanOutClient struct{ Ours, Theirs, Pwd string }

// A fanOutResult is what the clients have seen.
type fanOutResult struct {
	Packets int64
	Delays  []float64 // of video, in milliseconds
}

// A fanOutMeeting is a server's peers and the process of their clients.
type fanOutMeeting struct {
	b         *testing.B
	transport *Transport
	peers     []*Peer // the first publishes
	began     []time.Time
	joined    []time.Duration
	published *sfu.Publisher
	clients   *exec.Cmd
	in        io.WriteCloser
	out       strings.Builder
}

// startFanOut has clients connect, the first of which publishes if watched.
func startFanOut(b *testing.B, n int, watched bool) *fanOutMeeting {
	b.Helper()
	m := &fanOutMeeting{b: b, peers: make([]*Peer, n), began: make([]time.Time, n), joined: make([]time.Duration, n)}
	log := slog.New(slog.DiscardHandler)
	var err error
	if m.transport, err = NewTransport(Config{Addr: "127.0.0.1:0"}, log); err != nil {
		b.Fatal(err)
	}
	certificate, fingerprint, err := newCertificate()
	if err != nil {
		b.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		b.Fatal(err)
	}
	job := fanOutJob{Server: m.transport.Addr().String(), Certificate: certificate.Certificate, Key: key, Publish: watched}
	var connected atomic.Int32
	started := make(chan *sfu.Publisher, 1)
	for i := range m.peers {
		m.peers[i], err = m.transport.NewPeer(Events{
			Connected: func() {
				m.joined[i] = time.Since(m.began[i])
				connected.Add(1)
			},
			VideoStarted: func(p *sfu.Publisher) { started <- p },
		}, log)
		if err != nil {
			b.Fatal(err)
		}
		job.Clients = append(job.Clients, fanOutClient{fmt.Sprintf("client%d", i), m.peers[i].writer.ufrag, m.peers[i].writer.pwd})
	}
	negotiate := func(i int, o Offer) {
		o.SDP = fmt.Sprintf(fanOutOffer, job.Clients[i].Ours, fingerprint, fanOutTWCC, fanOutTWCC, fanOutTWCC)
		m.began[i] = time.Now()
		if _, err := m.peers[i].Negotiate(b.Context(), o); err != nil {
			b.Fatal(err)
		}
	}

	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	m.clients = exec.Command(self, "-test.run=^TestFanOutClients$", "-test.timeout=10m")
	m.clients.Env = append(os.Environ(), fanOutClients+"=1")
	m.clients.Stderr, m.clients.Stdout = os.Stderr, &m.out
	if m.in, err = m.clients.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	if err := m.clients.Start(); err != nil {
		b.Fatal(err)
	}
	if err := json.NewEncoder(m.in).Encode(job); err != nil {
		b.Fatal(err)
	}
	negotiate(0, Offer{Publish: true})
	if watched {
		select {
		case m.published = <-started:
		case <-time.After(20 * time.Second):
			b.Fatal("nothing was published")
		}
	}
	for i := 1; i < n; i++ {
		negotiate(i, Offer{Receive: []Receive{{}, {Target: sfu.Whole(m.published)}}})
		time.Sleep(20 * time.Millisecond)
	}
	for deadline := time.Now().Add(60 * time.Second); int(connected.Load()) < n; {
		if time.Now().After(deadline) {
			b.Fatalf("connected: got %d, want %d", connected.Load(), n)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return m
}

// end returns what the clients have seen.
func (m *fanOutMeeting) end() (result fanOutResult) {
	m.in.Close() // the clients end
	if err := m.clients.Wait(); err != nil {
		m.b.Fatalf("clients: %v\n%s", err, m.out.String())
	}
	text, _, _ := strings.Cut(m.out.String(), "\n")
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		m.b.Fatalf("clients: %v\n%s", err, m.out.String())
	}
	if err := m.transport.Close(); err != nil {
		m.b.Error(err)
	}
	return result
}

// sent counts packets to all but the first.
func (m *fanOutMeeting) sent() (n uint64) {
	for _, p := range m.peers[1:] {
		s := p.Stats()
		n += uint64(s.AudioSent)
		for _, section := range s.Sections {
			n += section.Sent + section.Resent
		}
	}
	return n
}

func fanOut(b *testing.B, subscribers int, d time.Duration) {
	m := startFanOut(b, subscribers+1, true)
	for _, p := range m.peers[1:] {
		p.SetWanted(1_500_000)
	}
	stop, mixed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(mixed)
		mixTo(m.peers[1:], stop)
	}()
	time.Sleep(4 * time.Second) // until the estimates have grown
	before, began, cpu, sent := m.transport.port.Stats(), time.Now(), processCPU(b), m.sent()
	time.Sleep(d)
	took, used, packets, after := time.Since(began), processCPU(b)-cpu, m.sent()-sent, m.transport.port.Stats()
	close(stop)
	<-mixed
	delays := m.end().Delays
	slices.Sort(delays)
	slices.Sort(m.joined[1:])
	b.ReportMetric(float64(used.Microseconds())/float64(packets), "µs-cpu/packet")
	b.ReportMetric(float64(used.Milliseconds())/took.Seconds(), "ms-cpu/s")
	b.ReportMetric(float64(packets)/took.Seconds(), "packets/s")
	b.ReportMetric(float64(after.Packets-before.Packets)/float64(after.Messages-before.Messages), "packets/message")
	b.ReportMetric(quantile(delays, 0.5), "ms-delay-p50")
	b.ReportMetric(quantile(delays, 0.99), "ms-delay-p99")
	b.ReportMetric(float64(quantile(m.joined[1:], 0.5).Microseconds())/1000, "ms-join-p50")
}

func quantile[T any](sorted []T, q float64) (at T) {
	if len(sorted) == 0 {
		return at
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

// What clients cost that are there and are sent nothing, and those that are
// sent the mix.
func BenchmarkListeners(b *testing.B) {
	const n, d = 100, 5 * time.Second
	for b.Loop() {
		memory := func() (bytes uint64) {
			runtime.GC()
			runtime.GC()
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			return s.HeapInuse + s.StackInuse
		}
		before, goroutines := memory(), runtime.NumGoroutine()
		m := startFanOut(b, n, false)
		time.Sleep(time.Second)
		b.ReportMetric(float64(memory()-before)/n/1024, "kB/client")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/client")
		cpu := processCPU(b)
		time.Sleep(d)
		b.ReportMetric(float64((processCPU(b)-cpu).Microseconds())/d.Seconds()/n, "µs-cpu/s/silent-client")
		stop, mixed := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(mixed)
			mixTo(m.peers, stop)
		}()
		cpu = processCPU(b)
		time.Sleep(d)
		b.ReportMetric(float64((processCPU(b)-cpu).Microseconds())/d.Seconds()/n, "µs-cpu/s/listener")
		close(stop)
		<-mixed
		m.end()
	}
}

// mixTo sends a frame of audio every 20 ms.
func mixTo(peers []*Peer, stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	payload := make([]byte, 100)
	var ts uint32
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			ts += 960
			for _, p := range peers {
				_ = p.WriteAudio(AudioFrame{Payload: payload, Timestamp: ts, Time: now})
			}
		}
	}
}

func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The clients' process.
func TestFanOutClients(t *testing.T) {
	if os.Getenv(fanOutClients) == "" {
		t.Skip("only as part of BenchmarkFanOut")
	}
	var job fanOutJob
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(job.Key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is closed
		cancel()
	}()
	var result fanOutResult
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, c := range job.Clients {
		client := &rawClient{fanOutClient: c, server: job.Server, certificate: tls.Certificate{Certificate: job.Certificate, PrivateKey: key}, publishes: job.Publish && i == 0, measures: i%10 == 1}
		all.Go(func() {
			if err := client.run(ctx); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			result.Packets += client.packets
			result.Delays = append(result.Delays, client.delays...)
		})
	}
	all.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		t.Fatal(err)
	}
}

// A rawClient is the least of a WebRTC client.
type rawClient struct {
	fanOutClient
	server      string
	certificate tls.Certificate
	publishes   bool
	measures    bool

	conn    net.Conn
	records *packetio.Buffer
	in, out cipherPair
	secured atomic.Bool
	checked chan struct{}
	once    sync.Once

	packets int64
	delays  []float64

	mu       sync.Mutex // guards what follows
	recorder *twcc.Recorder
	heard    bool
}

func (c *rawClient) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.records.Read(b)
	return n, c.conn.RemoteAddr(), err
}
func (c *rawClient) WriteTo(b []byte, _ net.Addr) (int, error) { return c.conn.Write(b) }
func (c *rawClient) Close() error                              { return c.records.Close() }
func (c *rawClient) LocalAddr() net.Addr                       { return c.conn.LocalAddr() }
func (c *rawClient) SetDeadline(t time.Time) error             { return c.records.SetReadDeadline(t) }

func (c *rawClient) SetReadDeadline(t time.Time) error { return c.records.SetReadDeadline(t) }
func (c *rawClient) SetWriteDeadline(time.Time) error  { return nil }

func (c *rawClient) run(ctx context.Context) (err error) {
	if c.conn, err = net.Dial("udp", c.server); err != nil {
		return err
	}
	c.records = packetio.NewBuffer()
	c.checked = make(chan struct{})
	c.recorder = twcc.NewRecorder(1)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer c.conn.Close()
	tasks.Go(c.read)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks.Go(func() { c.check(ctx) })
	select {
	case <-c.checked:
	case <-ctx.Done():
		return errors.New("no answer to checks")
	}
	d, err := dtls.ClientWithOptions(
		c, c.conn.RemoteAddr(),
		dtls.WithCertificates(c.certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithInsecureSkipVerify(true),
	)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.HandshakeContext(ctx); err != nil {
		return err
	}
	state, _ := d.ConnectionState()
	keys := srtp.Config{Profile: srtp.ProtectionProfile(dtls.SRTP_AEAD_AES_128_GCM)}
	if err := keys.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return err
	}
	if c.in, err = newCiphers(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile); err != nil {
		return err
	}
	if c.out, err = newCiphers(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile); err != nil {
		return err
	}
	c.secured.Store(true)
	if c.publishes {
		c.publish(ctx)
	} else {
		c.report(ctx)
	}
	return nil
}

// check proves where the client is, again and again.
func (c *rawClient) check(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m := stun.MustBuild(
			stun.TransactionID, stun.BindingRequest,
			stun.NewUsername(c.Theirs+":"+c.Ours),
			stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{110, 0, 0, 255}},
			stun.RawAttribute{Type: stun.AttrUseCandidate},
			stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
			stun.NewShortTermIntegrity(c.Pwd), stun.Fingerprint,
		)
		_, _ = c.conn.Write(m.Raw)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-c.checked:
			tick.Reset(2 * time.Second)
		default:
		}
	}
}

func (c *rawClient) read() {
	b := make([]byte, 2000)
	var h rtp.Header
	plain := make([]byte, 0, 2000)
	for {
		n, err := c.conn.Read(b)
		if err != nil {
			return
		}
		switch pkt := b[:n]; {
		case n < 12:
		case pkt[0] < 4:
			if pkt[0] == 1 && pkt[1] == 1 {
				c.once.Do(func() { close(c.checked) })
			}
		case pkt[0] < 64:
			_, _ = c.records.Write(pkt)
		case pkt[1] >= 192 && pkt[1] <= 223:
		default:
			c.packets++
			if !c.secured.Load() {
				continue
			}
			if _, err := h.Unmarshal(pkt); err != nil {
				continue
			}
			if e := h.GetExtension(3); len(e) >= 2 {
				c.mu.Lock()
				c.recorder.Record(h.SSRC, binary.BigEndian.Uint16(e), time.Now().UnixMicro())
				c.heard = true
				c.mu.Unlock()
			}
			if !c.measures || h.PayloadType != 96 {
				continue
			}
			plain, err = c.in.rtp.DecryptRTP(plain[:0], pkt, &h)
			if err == nil && h.Padding {
				plain = plain[:len(plain)-int(plain[len(plain)-1])]
			}
			if err == nil && len(plain) > 20 {
				at := int64(binary.BigEndian.Uint64(plain[len(plain)-8:]))
				c.delays = append(c.delays, float64(time.Now().UnixNano()-at)/1e6)
			}
		}
	}
}

// report sends the feedback that browsers send.
func (c *rawClient) report(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var packets []rtcp.Packet
		c.mu.Lock()
		if c.heard {
			c.heard = false
			packets = c.recorder.BuildFeedbackPacket()
		}
		c.mu.Unlock()
		for _, p := range packets {
			plain, err := rtcp.Marshal([]rtcp.Packet{p})
			if err != nil {
				continue
			}
			if sealed, err := c.out.rtcp.EncryptRTCP(nil, plain, nil); err == nil {
				_, _ = c.conn.Write(sealed)
			}
		}
	}
}

// publish sends 30 frames a second, cut as Chromium does: into equal parts but
// for a byte. Every packet ends with the time.
func (c *rawClient) publish(ctx context.Context) {
	tick := time.NewTicker(time.Second / 30)
	defer tick.Stop()
	h := rtp.Header{Version: 2, PayloadType: 96, SSRC: 7}
	var number uint16
	payload := make([]byte, fanOutFrame/fanOutPackets+1)
	for first := true; ; first = false {
		h.Timestamp += 3000
		for i := range fanOutPackets {
			size := fanOutFrame / fanOutPackets
			if i >= fanOutPackets/2 {
				size++
			}
			part := payload[:size]
			clear(part[:16])
			if i == 0 {
				part[0], part[1] = 0x10, 0x01 // a frame begins, and needs others
				if first || h.Timestamp/3000%30 == 0 {
					copy(part[1:], []byte{0x10, 0, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2}) // key frame, 1280x720
				}
			}
			binary.BigEndian.PutUint64(part[size-8:], uint64(time.Now().UnixNano()))
			h.SequenceNumber++
			h.Marker = i == fanOutPackets-1
			number++
			_ = h.SetExtension(3, binary.BigEndian.AppendUint16(nil, number))
			plain, err := (&rtp.Packet{Header: h, Payload: part}).Marshal()
			if err != nil {
				continue
			}
			if sealed, err := c.out.rtp.EncryptRTP(nil, plain, nil); err == nil {
				_, _ = c.conn.Write(sealed)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
