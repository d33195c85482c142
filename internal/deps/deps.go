//go:build deps

package deps

import (
	_ "github.com/BurntSushi/toml"
	_ "github.com/aws/aws-sdk-go-v2/config"
	_ "github.com/aws/aws-sdk-go-v2/credentials"
	_ "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	_ "github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	_ "github.com/aws/aws-sdk-go-v2/service/ivs"
	_ "github.com/aws/smithy-go"
	_ "github.com/coder/websocket"
	_ "github.com/google/uuid"
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/nats-io/nats.go"
	_ "github.com/nats-io/nats.go/jetstream"
	_ "github.com/pion/ice/v4"
	_ "github.com/pion/interceptor"
	_ "github.com/pion/interceptor/pkg/nack"
	_ "github.com/pion/interceptor/pkg/report"
	_ "github.com/pion/interceptor/pkg/twcc"
	_ "github.com/pion/logging"
	_ "github.com/pion/rtcp"
	_ "github.com/pion/rtp"
	_ "github.com/pion/rtp/codecs"
	_ "github.com/pion/sdp/v3"
	_ "github.com/pion/transport/v4/udp"
	_ "github.com/pion/transport/v4/vnet"
	_ "github.com/pion/webrtc/v4"
	_ "github.com/spf13/cobra"
	_ "golang.org/x/sync/errgroup"
	_ "google.golang.org/protobuf/proto"
)
