// An accelerator that is none, for tests of where tensors are: CPU memory under another device's name (PrivateUse1), every
// operator run on the CPU, and CUDA's rules of mixing devices checked before each. A switch refuses float64, as Apple's
// GPUs do. tests/support/emulated_device.py compiles and registers it.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/TensorUtils.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorConversions.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/native/transformers/sdp_utils_cpp.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <ATen/ops/resize_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>
#include <atomic>
#include <mutex>
#include <map>
#include <string>
#include <cstring>
#include <cstdlib>

using c10::Device; using c10::DeviceIndex; using c10::DeviceType;
static thread_local DeviceIndex current = 0;
static const DeviceIndex COUNT = 2;
static std::atomic<bool> no_double{false};
static std::atomic<long> n_fallback{0}, n_item{0}, n_h2d{0}, n_d2h{0};
static std::mutex names_mutex; static std::map<std::string, long> names;

extern "C" {
void vdev_no_double(int on) { no_double = on; }
long vdev_count(int which) { return which == 0 ? n_fallback.load() : which == 1 ? n_item.load() : which == 2 ? n_h2d.load() : n_d2h.load(); }
long vdev_names(char* out, long size) {
  std::lock_guard<std::mutex> l(names_mutex); std::string s;
  for (auto& kv : names) s += kv.first + " " + std::to_string(kv.second) + "\n";
  if (out && (long)s.size() < size) std::strcpy(out, s.c_str());
  return s.size() + 1;
}
void vdev_set_device(int i) { current = i; }
int vdev_get_device() { return current; }
}

struct Alloc final : c10::Allocator {
  static void del(void* p) { std::free(p); }
  c10::DataPtr allocate(size_t n) override {
    void* p = n ? std::malloc(n) : nullptr;
    if (p) std::memset(p, 0xCD, n);
    return {p, p, &del, Device(DeviceType::PrivateUse1, current)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &del; }
  void copy_data(void* d, const void* s, size_t n) const override { std::memcpy(d, s, n); }
};
static Alloc the_alloc;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &the_alloc);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr DeviceType static_type = DeviceType::PrivateUse1;
  DeviceType type() const override { return static_type; }
  Device exchangeDevice(Device d) const override { Device old(static_type, current); if (d.has_index()) current = d.index(); return old; }
  Device getDevice() const override { return Device(static_type, current); }
  void setDevice(Device d) const override { if (d.has_index()) current = d.index(); }
  void uncheckedSetDevice(Device d) const noexcept override { if (d.has_index()) current = d.index(); }
  c10::Stream getStream(Device d) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, d.has_index() ? d : Device(static_type, current)); }
  c10::Stream getDefaultStream(Device d) const override { return getStream(d); }
  c10::Stream getNewStream(Device d, int p = 0) const override { return getStream(d); }
  c10::Stream getStreamFromGlobalPool(Device d, bool h = false) const override { return getStream(d); }
  c10::Stream exchangeStream(c10::Stream s) const noexcept override { return getStream(s.device()); }
  DeviceIndex deviceCount() const noexcept override { return COUNT; }
  void record(void** e, const c10::Stream&, const DeviceIndex, const c10::EventFlag) const override { static int dummy; *e = &dummy; }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const DeviceIndex) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Gen final : at::CPUGeneratorImpl {
  explicit Gen(DeviceIndex i) { device_ = Device(DeviceType::PrivateUse1, i < 0 ? current : i); key_set_ = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1); }
  Device home() const { return device_; }
  void pretend(Device d) { device_ = d; }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(DeviceIndex i) const override {
    static at::Generator g[2] = {at::make_generator<Gen>((DeviceIndex)0), at::make_generator<Gen>((DeviceIndex)1)};
    return g[i < 0 ? current : i];
  }
  at::Generator getNewGenerator(DeviceIndex i = -1) const override { return at::make_generator<Gen>(i); }
  Device getDeviceFromPtr(void*) const override { return Device(DeviceType::PrivateUse1, current); }
  bool isPinnedPtr(const void*) const override { return false; }
  at::Allocator* getPinnedMemoryAllocator() const override { return at::getCPUAllocator(); }
  void resizePrivateUse1Bytes(const c10::Storage& s, size_t n) const override {
    auto* impl = s.unsafeGetStorageImpl();
    DeviceIndex old = current; current = s.device().index();
    auto fresh = the_alloc.allocate(n); current = old;
    if (impl->nbytes() && n) std::memcpy(fresh.get(), impl->mutable_data(), std::min(n, impl->nbytes()));
    impl->set_data_ptr_noswap(std::move(fresh)); impl->set_nbytes(n);
  }
  DeviceIndex deviceCount() const override { return COUNT; }
  void setCurrentDevice(DeviceIndex d) const override { current = d; }
  DeviceIndex getCurrentDevice() const override { return current; }
  DeviceIndex exchangeDevice(DeviceIndex d) const override { auto o = current; if (d >= 0) current = d; return o; }
  DeviceIndex maybeExchangeDevice(DeviceIndex d) const override { return exchangeDevice(d); }
};
static bool hooks_registered = [] { at::RegisterPrivateUse1HooksInterface(new Hooks); return true; }();

static void check_dtype(c10::ScalarType t) {
  if (no_double) TORCH_CHECK_TYPE(t != at::kDouble && t != at::kComplexDouble,
      "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. Please use float32 instead.");
}
static constexpr c10::DispatchKeySet KS(c10::DispatchKey::PrivateUse1);
static at::Tensor empty_mf(c10::IntArrayRef size, std::optional<c10::ScalarType> dt, std::optional<c10::Layout>,
    std::optional<Device> dev, std::optional<bool>, std::optional<c10::MemoryFormat> mf) {
  auto t = c10::dtype_or_default(dt); check_dtype(t);
  c10::OptionalDeviceGuard g(c10::device_or_default(dev));
  return at::detail::empty_generic(size, &the_alloc, KS, t, mf);
}
static at::Tensor empty_st(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dt,
    std::optional<c10::Layout>, std::optional<Device> dev, std::optional<bool>) {
  auto t = c10::dtype_or_default(dt); check_dtype(t);
  c10::OptionalDeviceGuard g(c10::device_or_default(dev));
  return at::detail::empty_strided_generic(size, stride, &the_alloc, KS, t);
}
static at::Tensor as_cpu(const at::Tensor& t) {
  if (t.is_cpu()) return t;
  auto base = at::from_blob(t.numel() ? const_cast<void*>(t.const_data_ptr()) : nullptr, t.sizes(), t.strides(), t.options().device(at::kCPU));
  return base;
}
static at::Tensor resolve(at::Tensor c, const at::Tensor& like) {
  if (like.is_conj()) c = c.conj(); if (like.is_neg()) c = c._neg_view(); return c;
}
static at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool) {
  if (self.is_cpu()) ++n_h2d; else if (dst.is_cpu()) ++n_d2h;
  if (self.numel() == 0 && dst.numel() == 0) return dst;
  at::AutoDispatchBelowADInplaceOrView g;
  auto d = resolve(as_cpu(dst), dst.is_cpu() ? at::Tensor(as_cpu(dst)) : dst);
  auto s = resolve(as_cpu(self), self.is_cpu() ? at::Tensor(as_cpu(self)) : self);
  d.copy_(s);
  return dst;
}
static at::Tensor copy_from_resize(const at::Tensor& self, const at::Tensor& dst) {
  at::native::resize_(dst, self.sizes(), std::nullopt);
  return copy_from(self, dst, false);
}
static at::Scalar item(const at::Tensor& self) { ++n_item; return as_cpu(self).item(); }
static at::Tensor w_as_strided(const at::Tensor& s, c10::SymIntArrayRef a, c10::SymIntArrayRef b, std::optional<c10::SymInt> o) { return at::cpu::as_strided_symint(s, a, b, o); }
static const at::Tensor& w_resize(const at::Tensor& s, c10::SymIntArrayRef a, std::optional<at::MemoryFormat> m) { return at::native::resize_(s, C10_AS_INTARRAYREF_SLOW(a), m); }
static at::Tensor w_ra(const at::Tensor& s, c10::SymIntArrayRef a, c10::SymIntArrayRef b) { return at::native::_reshape_alias(s, C10_AS_INTARRAYREF_SLOW(a), C10_AS_INTARRAYREF_SLOW(b)); }
static at::Tensor w_view(const at::Tensor& s, c10::SymIntArrayRef a) { return at::native::view(s, C10_AS_INTARRAYREF_SLOW(a)); }
static at::Tensor w_unfold(const at::Tensor& s, int64_t d, int64_t n, int64_t st) { return at::native::unfold(s, d, n, st); }
static at::Tensor& set_t(at::Tensor& s, const at::Tensor& o) { return at::native::set_tensor_(s, o); }
static at::Tensor& set_s(at::Tensor& s, at::Storage o) { return at::native::set_(s, o); }
static at::Tensor& set_sso(at::Tensor& r, at::Storage s, int64_t o, c10::IntArrayRef a, c10::IntArrayRef b) { return at::cpu::set_(r, s, o, a, b); }

static bool fast(const c10::OperatorHandle& op, torch::jit::Stack* stack, std::optional<Device> target) {
  const auto& schema = op.schema(); const size_t n = schema.arguments().size();
  std::vector<c10::IValue> saved(stack->end() - n, stack->end());
  for (const auto& r : schema.returns()) {
    if (r.alias_info() && !r.alias_info()->isWrite()) return false;
    if (r.type()->kind() != c10::TypeKind::TensorType && (r.alias_info() || r.type()->kind() == c10::TypeKind::ListType)) return false;
  }
  for (size_t i = 0; i < n; ++i) {
    auto& v = saved[i]; const auto* al = schema.arguments()[i].alias_info();
    if (v.isTensor() && v.toTensor().defined()) { const auto& t = v.toTensor(); if (t.is_conj() || t.is_neg() || t.layout() != at::kStrided) return false; if (al && al->isWrite() && t.numel() == 0) return false; if (al && al->isWrite() && t.is_cpu()) return false; }
    else if ((v.isTensorList() || v.isOptionalTensorList()) && al && al->isWrite()) return false;
  }
  for (size_t i = 0; i < n; ++i) {
    auto& v = saved[i]; auto& slot = *(stack->end() - n + i);
    if (v.isTensor() && v.toTensor().defined()) slot = as_cpu(v.toTensor());
    else if (v.isTensorList()) { c10::List<at::Tensor> l; for (const at::Tensor& t : v.toTensorVector()) l.push_back(t.defined() ? as_cpu(t) : t); slot = std::move(l); }
    else if (v.isOptionalTensorList()) { c10::List<std::optional<at::Tensor>> l; for (const auto& t : v.toOptionalTensorList()) { std::optional<at::Tensor> o = t; l.push_back(o && o->defined() ? std::optional<at::Tensor>(as_cpu(*o)) : o); } slot = std::move(l); }
    else if (v.isDevice()) slot = Device(at::kCPU);
  }
  const size_t base = stack->size() - n;
  try { op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack); }
  catch (const c10::Error& e) {
    if (std::string(e.what()).find("not resizable") == std::string::npos) throw;
    stack->resize(base); for (auto& v : saved) stack->push_back(v);
    return false;
  }
  const size_t m = schema.returns().size();
  for (size_t k = 0; k < m; ++k) {
    auto& slot = *(stack->end() - m + k); const auto& r = schema.returns()[k];
    if (!slot.isTensor() || !slot.toTensor().defined()) continue;
    if (r.alias_info() && r.alias_info()->isWrite()) {
      for (size_t i = 0; i < n; ++i) { const auto* al = schema.arguments()[i].alias_info(); if (al && *al == *r.alias_info()) { slot = saved[i]; break; } }
    } else {
      auto t = slot.toTensor();
      c10::OptionalDeviceGuard g(target ? std::optional<Device>(*target) : std::nullopt);
      if (no_double) check_dtype(t.scalar_type());
      at::Tensor out = at::detail::empty_strided_generic(t.sizes(), t.strides(), &the_alloc, KS, t.scalar_type());
      if (t.numel()) { at::AutoDispatchBelowADInplaceOrView gg; as_cpu(out).copy_(t); }
      slot = out;
    }
  }
  return true;
}
static void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  ++n_fallback;
  const std::string name = c10::toString(op.operator_name());
  { std::lock_guard<std::mutex> l(names_mutex); ++names[name]; }
  const auto& schema = op.schema();
  const size_t n = schema.arguments().size();
  auto args = torch::jit::last(stack, n);
  const bool indexing = name.rfind("aten::index.", 0) == 0 || name.rfind("aten::index_put", 0) == 0 || name.rfind("aten::_index_put_impl", 0) == 0 || name.rfind("aten::_unsafe_index", 0) == 0;
  const bool lists = name.rfind("aten::cat", 0) == 0 || name.rfind("aten::stack", 0) == 0 || name.rfind("aten::_foreach", 0) == 0;
  std::optional<Device> device; std::vector<std::pair<at::Tensor, bool>> seen; std::vector<Gen*> gens; std::optional<at::Generator> generator;
  for (size_t i = 0; i < n; ++i) {
    const auto& v = args[i];
    if (v.isTensor() && v.toTensor().defined()) seen.push_back({v.toTensor(), false});
    else if (v.isTensorList()) { for (const at::Tensor& t : v.toTensorVector()) if (t.defined()) seen.push_back({t, true}); }
    else if (v.isOptionalTensorList()) { for (const auto& t : v.toOptionalTensorList()) { std::optional<at::Tensor> o = t; if (o && o->defined()) seen.push_back({*o, true}); } }
    else if (v.isGenerator()) generator = v.toGenerator();
    else if (v.isDevice()) device = v.toDevice();
  }
  if (indexing) {
    Device self = seen.at(0).first.device();
    for (auto& s : seen) {
      if (s.second) { TORCH_CHECK(s.first.is_cpu() || s.first.device() == self,
        "indices should be either on cpu or on the same device as the indexed tensor (", self, ") [", name, "]"); }
      else { TORCH_CHECK(s.first.device() == self || (s.first.dim() == 0 && s.first.is_cpu()),
        "Expected all tensors to be on the same device, but found ", s.first.device(), " and ", self, " [", name, "]"); }
    }
    device = self;
  } else {
    for (auto& s : seen) if (!s.first.is_cpu()) { if (!device || device->is_cpu()) device = s.first.device(); }
    for (auto& s : seen) if (device && s.first.device() != *device && (device->has_index() || s.first.is_cpu()))
      TORCH_CHECK(s.first.is_cpu() && s.first.dim() == 0 && !lists,
        "Expected all tensors to be on the same device, but found at least two devices, ", *device, " and ", s.first.device(), "! [", name, "]");
  }
  Gen* g = nullptr; Device gd(at::kCPU);
  if (generator && generator->defined()) {
    TORCH_CHECK(generator->device().is_privateuseone(), "Expected a 'cuda' device type for generator but found '", generator->device(), "' [", name, "]");
    g = static_cast<Gen*>(generator->unsafeGetGeneratorImpl()); gd = g->home(); g->pretend(Device(at::kCPU));
  }
  // 0-dim CPU arguments beside device ones: as they are
  try { if (!fast(op, stack, device)) at::native::cpu_fallback(op, stack); } catch (...) { if (g) g->pretend(gd); throw; }
  if (g) g->pretend(gd);
}

static void same(const at::Tensor& a, const at::Tensor& b, const char* w) {
  TORCH_CHECK(a.device() == b.device(), "Input type and weight type should be the same: found ", a.device(), " and ", b.device(), " [", w, "]");
}
static at::Tensor conv(const at::Tensor& x, const at::Tensor& w, const std::optional<at::Tensor>& b, c10::IntArrayRef st, c10::IntArrayRef p, c10::IntArrayRef di, bool tr, c10::IntArrayRef op, int64_t gr) {
  same(x, w, "conv"); if (b && b->defined()) same(x, *b, "conv bias"); ++n_fallback;
  at::AutoDispatchBelowADInplaceOrView g;
  std::optional<at::Tensor> bc; if (b && b->defined()) bc = b->cpu();
  return at::convolution(x.cpu(), w.cpu(), bc, st, p, di, tr, op, gr).to(x.device());
}
static std::tuple<at::Tensor, at::Tensor, at::Tensor> conv_back(const at::Tensor& go, const at::Tensor& x, const at::Tensor& w, c10::IntArrayRef st, c10::IntArrayRef p, c10::IntArrayRef di, bool tr, c10::IntArrayRef op, int64_t gr, std::array<bool, 3> mask) {
  same(x, w, "conv_back"); same(go, x, "conv_back"); ++n_fallback;
  at::AutoDispatchBelowADInplaceOrView g;
  int64_t bias = tr ? w.size(1) * gr : w.size(0);
  auto r = at::convolution_backward(go.cpu(), x.cpu(), w.cpu(), c10::IntArrayRef(&bias, 1), st, p, di, tr, op, gr, mask);
  auto up = [&](const at::Tensor& t) { return t.defined() ? t.to(x.device()) : t; };
  return {up(std::get<0>(r)), up(std::get<1>(r)), up(std::get<2>(r))};
}
static int64_t sdp_choice(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double, bool, std::optional<double>, bool) {
  return static_cast<int64_t>(sdp::SDPBackend::math);
}
namespace at::native { REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &::sdp_choice); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty_mf);
  m.impl("empty_strided", empty_st);
  m.impl("as_strided", w_as_strided);
  m.impl("resize_", w_resize);
  m.impl("_reshape_alias", w_ra);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_resize);
  m.impl("_local_scalar_dense", item);
  m.impl("set_.source_Tensor", set_t);
  m.impl("set_.source_Storage", set_s);
  m.impl("set_.source_Storage_storage_offset", set_sso);
  m.impl("view", w_view);
  m.impl("convolution_overrideable", conv);
  m.impl("convolution_backward_overrideable", conv_back);
  m.impl("unfold", w_unfold);
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(mm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(addmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(_convolution, lower_precision_fp)
}
