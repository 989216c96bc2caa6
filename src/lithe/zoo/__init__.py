"""Reference networks: plain modules that know nothing of the methods applied to them."""

from lithe.zoo.convolution import MakeConv, plain_conv
from lithe.zoo.googlenet import GoogLeNet, googlenet
from lithe.zoo.initialise import kaiming_normal_, torch_default_
from lithe.zoo.mobilenet_v1 import MobileNetV1, mobilenet_v1
from lithe.zoo.resnet_cifar import CifarResNet, resnet20, resnet56, resnet110, resnet_cifar
from lithe.zoo.resnet_imagenet import ImageNetResNet, resnet50
from lithe.zoo.small import small_cnn
from lithe.zoo.vgg import VGG, vgg16

__all__ = [
    "VGG",
    "CifarResNet",
    "GoogLeNet",
    "ImageNetResNet",
    "MakeConv",
    "MobileNetV1",
    "googlenet",
    "kaiming_normal_",
    "mobilenet_v1",
    "plain_conv",
    "resnet20",
    "resnet50",
    "resnet56",
    "resnet110",
    "resnet_cifar",
    "small_cnn",
    "torch_default_",
    "vgg16",
]
