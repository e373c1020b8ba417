// A gRPC nobody here wrote, as server, as client that checks everything, and as a source of load.
//
//   peer serve CERTS                 prints the port; ends when its standard input does
//   peer check ADDRESS CERTS         exits 0 when all is as it should be
//   peer load ADDRESS CERTS CONNECTIONS CALLS_AT_ONCE SECONDS   starts at a line of input
//   peer idle ADDRESS CERTS CONNECTIONS   holds them until its standard input ends
//
// CERTS is a folder with ca.pem, and chain and key of server and client, or "none" for plain text.
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/interop/grpc/echo.grpc.pb.h"

using grpc::Status;
using grpc::StatusCode;
using skep::test::Blob;
using skep::test::Echo;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

namespace
{

// The limits of swarm: 4 MiB per message at servers.
constexpr int kServerBytesMax = 4 << 20;

std::string read_file(const std::string &path)
{
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::shared_ptr<grpc::ServerCredentials> server_credentials(const std::string &certs)
{
    if (certs == "none")
        return grpc::InsecureServerCredentials();
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = read_file(certs + "/ca.pem");
    options.pem_key_cert_pairs.push_back(
        {read_file(certs + "/server.key"), read_file(certs + "/server.pem")});
    return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::Channel> make_channel(const std::string &address, const std::string &certs,
                                            int serial)
{
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(-1);
    // Without this all channels to one address share a connection.
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetInt("skep.serial", serial);
    if (certs == "none")
        return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
    args.SetSslTargetNameOverride("swarm-manager");
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = read_file(certs + "/ca.pem");
    options.pem_private_key = read_file(certs + "/client.key");
    options.pem_cert_chain = read_file(certs + "/client.pem");
    return grpc::CreateCustomChannel(address, grpc::SslCredentials(options), args);
}

// ---- the server ----------------------------------------------------------------------------------

std::atomic<unsigned> cancelled{0};

class Serving : public grpc::ServerWriteReactor<Blob>
{
  public:
    Serving(grpc::CallbackServerContext *context, const Blob *request)
        : blob_(*request), left_(request->count())
    {
        context->AddTrailingMetadata("x-trailer", "served");
        next();
    }
    void OnWriteDone(bool ok) override
    {
        if (ok)
            next();
        else
            Finish(Status::CANCELLED);
    }
    void OnDone() override
    {
        delete this;
    }

  private:
    void next()
    {
        if (left_-- > 0)
            StartWrite(&blob_);
        else
            Finish(Status::OK);
    }
    Blob blob_;
    int64_t left_;
};

class Collecting : public grpc::ServerReadReactor<Blob>
{
  public:
    explicit Collecting(Blob *reply) : reply_(reply)
    {
        StartRead(&blob_);
    }
    void OnReadDone(bool ok) override
    {
        if (!ok) {
            Finish(Status::OK);
            return;
        }
        reply_->set_count(reply_->count() + 1);
        reply_->set_data(blob_.data());
        StartRead(&blob_);
    }
    void OnDone() override
    {
        delete this;
    }

  private:
    Blob *reply_;
    Blob blob_;
};

class Chatting : public grpc::ServerBidiReactor<Blob, Blob>
{
  public:
    Chatting()
    {
        StartRead(&blob_);
    }
    void OnReadDone(bool ok) override
    {
        if (ok)
            StartWrite(&blob_);
        else
            Finish(Status::OK);
    }
    void OnWriteDone(bool ok) override
    {
        if (ok)
            StartRead(&blob_);
        else
            Finish(Status::CANCELLED);
    }
    void OnDone() override
    {
        delete this;
    }

  private:
    Blob blob_;
};

class Hanging : public grpc::ServerWriteReactor<Blob>
{
  public:
    void OnCancel() override
    {
        cancelled++;
        Finish(Status::CANCELLED);
    }
    void OnDone() override
    {
        delete this;
    }
};

class Service final : public Echo::CallbackService
{
    grpc::ServerUnaryReactor *Unary(grpc::CallbackServerContext *context, const Blob *request,
                                    Blob *reply) override
    {
        for (const char *kind : {"", "-bin"}) {
            auto asked = context->client_metadata().find(std::string("x-ask") + kind);
            if (asked != context->client_metadata().end())
                context->AddInitialMetadata(
                    std::string("x-answer") + kind,
                    std::string(asked->second.data(), asked->second.size()));
        }
        *reply = *request;
        auto *reactor = context->DefaultReactor();
        reactor->Finish(Status::OK);
        return reactor;
    }
    grpc::ServerWriteReactor<Blob> *Serve(grpc::CallbackServerContext *context,
                                          const Blob *request) override
    {
        return new Serving(context, request);
    }
    grpc::ServerReadReactor<Blob> *Collect(grpc::CallbackServerContext *, Blob *reply) override
    {
        return new Collecting(reply);
    }
    grpc::ServerBidiReactor<Blob, Blob> *Chat(grpc::CallbackServerContext *) override
    {
        return new Chatting;
    }
    grpc::ServerUnaryReactor *Fail(grpc::CallbackServerContext *context, const Blob *request,
                                   Blob *) override
    {
        auto *reactor = context->DefaultReactor();
        reactor->Finish(Status(StatusCode::NOT_FOUND, "no such thing: 100% sure", request->data()));
        return reactor;
    }
    grpc::ServerWriteReactor<Blob> *Hang(grpc::CallbackServerContext *, const Blob *) override
    {
        return new Hanging;
    }
    grpc::ServerUnaryReactor *Cancelled(grpc::CallbackServerContext *context, const Blob *,
                                        Blob *reply) override
    {
        reply->set_count(cancelled);
        auto *reactor = context->DefaultReactor();
        reactor->Finish(Status::OK);
        return reactor;
    }
};

int serve(const std::string &certs)
{
    Service service;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", server_credentials(certs), &port);
    builder.RegisterService(&service);
    builder.SetMaxReceiveMessageSize(kServerBytesMax);
    auto server = builder.BuildAndStart();
    if (!server)
        return 1;
    std::cout << port << std::endl;
    std::string line;
    while (std::getline(std::cin, line))
        ;
    server->Shutdown(system_clock::now() + milliseconds(500));
    return 0;
}

// ---- the client that checks ----------------------------------------------------------------------

int failures = 0;

void expect(bool ok, const std::string &what)
{
    if (ok)
        return;
    failures++;
    std::cout << "wrong: " << what << std::endl;
}

void expect_ok(const Status &status, const std::string &what)
{
    expect(status.ok(),
           what + ": " + std::to_string(status.error_code()) + " " + status.error_message());
}

void check_unary(Echo::Stub &stub)
{
    const std::string binary("\0\1\2\xff,;", 6);
    for (size_t size : {size_t(0), size_t(1), size_t(65536), size_t(4 << 20) - 5}) {
        grpc::ClientContext context;
        context.AddMetadata("x-ask", "why not? 50% ~");
        context.AddMetadata("x-ask-bin", binary);
        Blob request, reply;
        request.set_data(std::string(size, 'd'));
        expect_ok(stub.Unary(&context, request, &reply), "unary " + std::to_string(size));
        expect(reply.data() == request.data(), "unary data of " + std::to_string(size));
        auto &headers = context.GetServerInitialMetadata();
        auto text = headers.find("x-answer");
        expect(text != headers.end() && text->second == "why not? 50% ~", "metadata");
        auto bytes = headers.find("x-answer-bin");
        expect(bytes != headers.end() && bytes->second == binary, "binary metadata");
    }
    grpc::ClientContext context;
    Blob request, reply;
    request.set_data(std::string(4 << 20, 'd')); // with its tag and length it is past the limit
    Status status = stub.Unary(&context, request, &reply);
    expect(status.error_code() == StatusCode::RESOURCE_EXHAUSTED, "a message past 4 MiB");
}

void check_streams(Echo::Stub &stub)
{
    Blob blob;
    {
        grpc::ClientContext context;
        Blob request;
        request.set_data(std::string(10000, 's'));
        request.set_count(1000);
        auto reader = stub.Serve(&context, request);
        unsigned count = 0;
        while (reader->Read(&blob))
            count += blob.data() == request.data();
        expect_ok(reader->Finish(), "serve");
        expect(count == 1000, "serve's messages");
        auto &trailers = context.GetServerTrailingMetadata();
        auto found = trailers.find("x-trailer");
        expect(found != trailers.end() && found->second == "served", "trailers");
    }
    {
        grpc::ClientContext context;
        Blob reply;
        auto writer = stub.Collect(&context, &reply);
        for (int i = 0; i < 1000; i++) {
            blob.set_data(std::string(5000, 'a' + i % 26));
            expect(writer->Write(blob), "collect's write");
        }
        writer->WritesDone();
        expect_ok(writer->Finish(), "collect");
        expect(reply.count() == 1000 && reply.data() == blob.data(), "collect's reply");
    }
    grpc::ClientContext context;
    auto chat = stub.Chat(&context);
    for (int i = 0; i < 100; i++) {
        blob.set_data(std::string(i * 100, 'c'));
        Blob back;
        expect(chat->Write(blob) && chat->Read(&back) && back.data() == blob.data(), "chat");
    }
    chat->WritesDone();
    expect(!chat->Read(&blob), "chat's end");
    expect_ok(chat->Finish(), "chat");
}

void check_errors(Echo::Stub &stub, const std::shared_ptr<grpc::Channel> &channel)
{
    {
        grpc::ClientContext context;
        Blob request, reply;
        const std::string details("\x08\x05\x12\x03why\x00\xff", 9);
        request.set_data(details);
        Status status = stub.Fail(&context, request, &reply);
        expect(status.error_code() == StatusCode::NOT_FOUND, "the code of an error");
        expect(status.error_message() == "no such thing: 100% sure", "the message of an error");
        expect(status.error_details() == details, "the details of an error");
    }
    {
        grpc::ClientContext context;
        context.set_deadline(system_clock::now() + milliseconds(100));
        Blob blob;
        auto reader = stub.Hang(&context, blob);
        expect(!reader->Read(&blob), "a hanging call gave something");
        expect(reader->Finish().error_code() == StatusCode::DEADLINE_EXCEEDED, "the deadline");
    }
    {
        grpc::ClientContext context;
        Blob blob;
        auto reader = stub.Hang(&context, blob);
        std::this_thread::sleep_for(milliseconds(50));
        context.TryCancel();
        expect(reader->Finish().error_code() == StatusCode::CANCELLED, "the cancelled call");
    }
    unsigned seen = 0;
    for (int i = 0; i < 100 && seen < 2; i++) {
        grpc::ClientContext context;
        Blob blob;
        expect_ok(stub.Cancelled(&context, blob, &blob), "cancelled");
        seen = blob.count();
        std::this_thread::sleep_for(milliseconds(20));
    }
    expect(seen >= 2, "the server heard of its cancelled calls");
    grpc::internal::RpcMethod nope("/skep.test.Echo/Nope", grpc::internal::RpcMethod::NORMAL_RPC,
                                   channel);
    grpc::ClientContext context;
    Blob blob;
    Status status =
        grpc::internal::BlockingUnaryCall<Blob, Blob>(channel.get(), nope, &context, blob, &blob);
    expect(status.error_code() == StatusCode::UNIMPLEMENTED, "an unknown method");
}

int check(const std::string &address, const std::string &certs)
{
    auto channel = make_channel(address, certs, 0);
    if (!channel->WaitForConnected(system_clock::now() + milliseconds(5000))) {
        std::cout << "wrong: no connection" << std::endl;
        return 1;
    }
    auto stub = Echo::NewStub(channel);
    check_unary(*stub);
    check_streams(*stub);
    check_errors(*stub, channel);
    if (!failures)
        std::cout << "all right" << std::endl;
    return failures != 0;
}

// ---- load ----------------------------------------------------------------------------------------

struct Load {
    steady_clock::time_point stop;
    std::mutex lock;
    std::condition_variable idle;
    unsigned running = 0;
    std::vector<uint32_t> micros;
};

struct LoadCall {
    Load *load;
    Echo::Stub *stub;
    std::unique_ptr<grpc::ClientContext> context;
    Blob request, reply;
    steady_clock::time_point began;

    void go()
    {
        context = std::make_unique<grpc::ClientContext>();
        began = steady_clock::now();
        stub->async()->Unary(context.get(), &request, &reply, [this](Status status) {
            auto now = steady_clock::now();
            auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - began);
            {
                std::lock_guard<std::mutex> guard(load->lock);
                if (!status.ok())
                    std::abort();
                load->micros.push_back(static_cast<uint32_t>(took.count()));
                if (now >= load->stop) {
                    load->running--;
                    load->idle.notify_one();
                    return;
                }
            }
            go();
        });
    }
};

std::vector<std::shared_ptr<grpc::Channel>> connect_all(const std::string &address,
                                                        const std::string &certs, int count)
{
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (int i = 0; i < count; i++)
        channels.push_back(make_channel(address, certs, i));
    for (auto &channel : channels)
        channel->GetState(true);
    for (auto &channel : channels)
        if (!channel->WaitForConnected(system_clock::now() + milliseconds(60000)))
            std::exit(1);
    return channels;
}

int load(const std::string &address, const std::string &certs, int connections, int at_once,
         double seconds)
{
    auto channels = connect_all(address, certs, connections);
    std::vector<std::unique_ptr<Echo::Stub>> stubs;
    for (auto &channel : channels)
        stubs.push_back(Echo::NewStub(channel));
    Load load;
    std::string line;
    std::cout << "connected" << std::endl;
    if (!std::getline(std::cin, line))
        return 1;
    rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    auto start = steady_clock::now();
    load.stop = start + milliseconds(static_cast<int>(seconds * 1000));
    std::vector<std::unique_ptr<LoadCall>> calls;
    load.running = static_cast<unsigned>(at_once);
    for (int i = 0; i < at_once; i++) {
        calls.push_back(std::make_unique<LoadCall>());
        calls.back()->load = &load;
        calls.back()->stub = stubs[static_cast<size_t>(i) % stubs.size()].get();
        calls.back()->request.set_data(std::string(100, 'x'));
        calls.back()->go();
    }
    std::unique_lock<std::mutex> guard(load.lock);
    load.idle.wait(guard, [&] { return load.running == 0; });
    double took = std::chrono::duration<double>(steady_clock::now() - start).count();
    getrusage(RUSAGE_SELF, &after);
    auto cpu = [](const rusage &usage) {
        return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    };
    std::sort(load.micros.begin(), load.micros.end());
    size_t count = load.micros.size();
    std::cout << "calls " << count << " seconds " << took << " cpu " << cpu(after) - cpu(before)
              << " p50_us " << load.micros[count / 2] << " p99_us " << load.micros[count * 99 / 100]
              << std::endl;
    return 0;
}

int idle(const std::string &address, const std::string &certs, int connections)
{
    auto channels = connect_all(address, certs, connections);
    std::cout << "connected" << std::endl;
    std::string line;
    while (std::getline(std::cin, line))
        ;
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    std::vector<std::string> args(argv + 1, argv + argc);
    if (args.size() == 2 && args[0] == "serve")
        return serve(args[1]);
    if (args.size() == 3 && args[0] == "check")
        return check(args[1], args[2]);
    if (args.size() == 6 && args[0] == "load")
        return load(args[1], args[2], std::stoi(args[3]), std::stoi(args[4]), std::stod(args[5]));
    if (args.size() == 4 && args[0] == "idle")
        return idle(args[1], args[2], std::stoi(args[3]));
    std::cerr << "peer serve CERTS | check ADDRESS CERTS | load ADDRESS CERTS CONNECTIONS "
                 "CALLS_AT_ONCE SECONDS | idle ADDRESS CERTS CONNECTIONS\n";
    return 2;
}
